-- The schema of a release that is rolled back: the release before it serves on it, and does not know the column.
create table app.of_the_broken_release (
  tenant_id text not null,
  id text not null,
  primary key (tenant_id, id)
);
select app.tenant_table('app.of_the_broken_release');
