/** What a test of the cluster uses. */
export { type CommandOptions, type Ended, must, run } from './command.ts';
export { fault, needsFaults, notRun } from './faults.ts';
export { clusterTraffic, ingressTarget } from './ingress.ts';
export { CHART, type Installation, installation, pictureOf, uninstall } from './installation.ts';
export { purchaseJourney } from './journey.ts';
export { killInside } from './kill-inside.ts';
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
  podAdmin,
  podExec,
  podsOf,
  podVersion,
  portForward,
  readyPod,
  tryHelm,
  tryKubectl,
} from './kube.ts';
export { generatedSecret, secretValue } from './kube-secret.ts';
export { psql, sql } from './postgres.ts';
export { type ClusterSettings, clusterSettings } from './settings.ts';
export { clientOf, type Outcome, type Traffic } from './traffic.ts';
export { HOSTS, imageValues, testValues, type Values } from './values.ts';
