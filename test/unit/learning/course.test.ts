import assert from 'node:assert/strict';
import { COURSE_STATUSES, mayReadLessons, maySeeCourse } from '../../../services/domain/learning/course.ts';
import { type Enrollment, grantOutcome } from '../../../services/domain/learning/enrollment.ts';

const readers = [
  { staff: true, enrolled: false },
  { staff: false, enrolled: true },
  { staff: true, enrolled: true },
];
const nobody = { staff: false, enrolled: false };

describe('who sees a course', () => {
  it('everybody once it is published, its makers and its students always', () => {
    for (const status of COURSE_STATUSES) {
      for (const reader of readers) assert.ok(maySeeCourse({ status }, reader));
      assert.equal(maySeeCourse({ status }, nobody), status === 'published');
    }
  });
  it('and its lessons never by being listed alone', () => {
    for (const status of COURSE_STATUSES) {
      for (const reader of readers) assert.ok(mayReadLessons({ status }, reader));
      assert.ok(!mayReadLessons({ status }, nobody));
    }
  });
});

describe('granting an enrollment', () => {
  const existing = { source_kind: 'order', source_id: 'ord_1' } as Enrollment;
  it('tells a repetition from a second grant', () => {
    assert.equal(grantOutcome(undefined, { kind: 'order', id: 'ord_1' }), 'granted');
    assert.equal(grantOutcome(existing, { kind: 'order', id: 'ord_1' }), 'repeated');
    assert.equal(grantOutcome(existing, { kind: 'order', id: 'ord_2' }), 'already_had');
    assert.equal(grantOutcome(existing, { kind: 'admin', id: 'ord_1' }), 'already_had');
  });
});
