/** Courses, lessons, enrollments, progress. See README.md. */
export { COURSE_STATUSES, type Course, type CourseStatus } from './course.ts';
export type { Enrollment, EnrollmentSource, GrantOutcome } from './enrollment.ts';
export {
  enrollByAdmin,
  enrolledCourses,
  grantEnrollment,
  listEnrollments,
  revokeEnrollment,
} from './enrollment-service.ts';
export type { Lesson, LessonWithProgress } from './lesson.ts';
export { addLesson, listLessons, markLessonDone, updateLesson } from './lesson-service.ts';
export {
  coursesForSale,
  createCourse,
  getCourse,
  isEnrolled,
  listCourses,
  type ReaderInput,
  updateCourse,
} from './service.ts';
