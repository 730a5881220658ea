-- Courses, lessons, enrollments, progress.

create table app.courses (
  tenant_id   text        not null references app.tenants (tenant_id),
  id          text        not null,
  title       text        not null check (length(title) between 1 and 200),
  description text        not null default '',
  status      text        not null default 'draft' check (status in ('draft', 'published')),
  created_by  text        not null,
  created_at  timestamptz not null,
  updated_at  timestamptz not null,
  primary key (tenant_id, id)
);
-- The catalogue that students page through.
create index courses_published on app.courses (tenant_id, id) where status = 'published';

create table app.lessons (
  tenant_id  text        not null,
  id         text        not null,
  course_id  text        not null,
  position   integer     not null check (position between 1 and 10000),
  title      text        not null check (length(title) between 1 and 200),
  content    text        not null default '',
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, course_id) references app.courses (tenant_id, id),
  constraint lessons_position unique (tenant_id, course_id, position)
);

create table app.enrollments (
  tenant_id   text        not null,
  id          text        not null,
  course_id   text        not null,
  person_id   text        not null,
  status      text        not null default 'active' check (status in ('active', 'revoked')),
  source_kind text        not null check (source_kind in ('order', 'invitation', 'admin')),
  source_id   text        not null,
  created_at  timestamptz not null,
  updated_at  timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, course_id) references app.courses (tenant_id, id),
  -- Granted once, whatever grants it and however often.
  constraint enrollments_once unique (tenant_id, course_id, person_id)
);
create index enrollments_of_person on app.enrollments (tenant_id, person_id, id);

create table app.lesson_progress (
  tenant_id text        not null,
  person_id text        not null,
  lesson_id text        not null,
  done_at   timestamptz not null,
  primary key (tenant_id, person_id, lesson_id),
  foreign key (tenant_id, lesson_id) references app.lessons (tenant_id, id)
);

select app.tenant_table('app.courses');
select app.tenant_table('app.lessons');
select app.tenant_table('app.enrollments');
select app.tenant_table('app.lesson_progress');

grant select, insert, update on app.courses, app.lessons to klar_api;
grant select on app.courses, app.lessons to klar_worker;
grant select, insert, update on app.enrollments to klar_api, klar_worker;
grant select, insert, update on app.lesson_progress to klar_api;
