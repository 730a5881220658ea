/** A course is sold and listed only while `published`. */
export const COURSE_STATUSES = ['draft', 'published'] as const;
export type CourseStatus = (typeof COURSE_STATUSES)[number];

export interface Course {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly status: CourseStatus;
  readonly created_by: string;
  readonly created_at: Date;
  readonly updated_at: Date;
}

/** How a reader stands to a course. `staff`: may write courses. `enrolled`: has an active enrollment. */
export interface Reader {
  readonly staff: boolean;
  readonly enrolled: boolean;
}

/** Title, description and price: everybody of the tenant once it is published; a course in work is its makers' own. */
export function maySeeCourse(course: Pick<Course, 'status'>, reader: Reader): boolean {
  // Who has bought a course keeps seeing it when the school takes it off the shelf.
  return reader.staff || reader.enrolled || course.status === 'published';
}

/** Lessons are what is sold: being listed is not enough. */
export function mayReadLessons(_course: Pick<Course, 'status'>, reader: Reader): boolean {
  return reader.staff || reader.enrolled;
}
