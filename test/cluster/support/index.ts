/** What a test of the cluster uses. */
export { type CommandOptions, type Ended, must, run } from './command.ts';
export { fault, needsFaults } from './faults.ts';
export { CHART, type Installation, installation, pictureOf, uninstall } from './installation.ts';
export {
  allReady,
  apply,
  createJobFrom,
  helm,
  isReady,
  jobEnd,
  kubectl,
  kubectlJson,
  type Pod,
  podExec,
  podsOf,
  portForward,
  readyPod,
  tryHelm,
  tryKubectl,
} from './kube.ts';
export { psql, sql } from './postgres.ts';
export { type ClusterSettings, clusterSettings } from './settings.ts';
export { HOSTS, imageValues, testValues, type Values } from './values.ts';
