#!/bin/sh
# What the cluster tests ask for and Kubernetes itself cannot do, on a kind cluster: KLAR_TEST_FAULTS=k8s/kind/faults.sh
#   node-kill NODE    all of its processes end at once, as by a power cut
#   node-start NODE
#   restart PROGRAM   apiserver, etcd, controller-manager or scheduler: ended, started again, ready when this returns
set -eu
usage() { sed -n '3,5s/^# *//p' "$0" >&2; exit 64; }
[ $# -eq 2 ] || usage
case $1 in
  node-kill) docker kill "$2" > /dev/null ;;
  node-start) docker start "$2" > /dev/null ;;
  restart)
    case $2 in etcd) name=etcd ;; *) name=kube-$2 ;; esac
    node=$(docker ps --filter label=io.x-k8s.kind.role=control-plane --format '{{.Names}}')
    before=$(docker exec "$node" crictl ps --quiet --name "^$name\$")
    # shellcheck disable=SC2086 # one id
    docker exec "$node" crictl stop --timeout 0 $before > /dev/null
    until after=$(docker exec "$node" crictl ps --quiet --name "^$name\$") && [ -n "$after" ] && [ "$after" != "$before" ] \
      && kubectl get --raw /readyz > /dev/null 2>&1; do sleep 0.5; done
    ;;
  *) usage ;;
esac
