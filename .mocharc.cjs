/**
 * `npx mocha` runs everything, `npx mocha <files>` those files: mocha itself would add the files to `spec`.
 * Two jobs, because CI has two cores; each file has a database of its own.
 */
const files = process.argv.slice(2).some((argument) => argument.endsWith('.test.ts'));

module.exports = {
  spec: files ? [] : ['test/{unit,integration,contract,architecture}/**/*.test.ts'],
  require: ['test/support/fixtures.ts'],
  timeout: 60_000,
  parallel: true,
  jobs: 2,
  forbidOnly: true,
  forbidPending: true,
};
