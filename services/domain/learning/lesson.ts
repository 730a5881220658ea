/** One unit of a course. `position` orders the lessons of a course from 1 and is unique in it. */
export interface Lesson {
  readonly id: string;
  readonly course_id: string;
  readonly position: number;
  readonly title: string;
  readonly content: string;
  readonly created_at: Date;
  readonly updated_at: Date;
}

/** As a person sees it: with what that person has done. */
export interface LessonWithProgress extends Lesson {
  readonly done_at: Date | null;
}
