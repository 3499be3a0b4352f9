//! The text below the flags in the help: examples, exit codes, environment.

/// The help text of the program.
pub(super) const ROOT: &str = "\
Examples:
  kubectl emqx status
  kubectl emqx watch
  kubectl emqx rebalance plan
  kubectl emqx rebalance apply --watch
  kubectl emqx upgrade emqx --image emqx/emqx-enterprise:5.8.7
  kubectl emqx demo

Exit codes:
  0    the goal is reached, or there was nothing to do
  1    error: API, network, permission, unknown name, bad file
  2    a bad flag or value, or two instances and no NAME
  3    nothing changed, and --error-unchanged was given
  4    the operation ended failed
  5    time ran out while it still runs
  6    refused by a check, a running one, a taken name, or a missing confirmation
  7    it ended, but not as asked
  8    a limit of yours stopped it (--abort-if-lost, --not-after, ...)
  130  interrupted

Environment:
  KUBECONFIG             as in kubectl
  NO_COLOR, TERM=dumb    no colour
  KUBECTL_EMQX_<FLAG>    a default for a flag of our own, as KUBECTL_EMQX_BACKEND=emqx for --backend
                         (a flag that is typed wins)";

/// The help text of `status`.
pub(super) const STATUS: &str = "\
Examples:
  kubectl emqx status
  kubectl emqx status emqx -n mq -o json
  kubectl emqx status -A
  kubectl emqx status -o jsonpath={.verdict}";

/// The help text of `nodes`.
pub(super) const NODES: &str = "\
Examples:
  kubectl emqx nodes
  kubectl emqx nodes emqxenterprise/emqx-ee -o wide
  kubectl emqx nodes -o json";

/// The help text of `rebalance`.
pub(super) const REBALANCE: &str = "\
Examples:
  kubectl emqx rebalance
  kubectl emqx rebalance plan emqx
  kubectl emqx rebalance apply emqx --conn-evict-rate 10 --watch";

/// The help text of `evacuate`.
pub(super) const EVACUATE: &str = "\
Examples:
  kubectl emqx evacuate list
  kubectl emqx evacuate start emqx-core-0 --conn-evict-rate 50 --watch
  kubectl emqx evacuate stop emqx-core-0";

/// The help text of `drain`.
pub(super) const DRAIN: &str = "\
Examples:
  kubectl emqx drain worker-1 --dry-run=client
  kubectl emqx drain worker-1 --watch
  kubectl emqx drain worker-1 worker-2 -A --conn-evict-rate 200 --yes
  kubectl emqx drain worker-1 --undo";

/// The help text of `scale`.
pub(super) const SCALE: &str = "\
Examples:
  kubectl emqx scale emqx --replicants 3 --dry-run=client
  kubectl emqx scale emqx --replicants 3 --conn-evict-rate 200 --watch
  kubectl emqx scale emqx --replicants 6 --rebalance
  kubectl emqx scale emqx --undo";

/// The help text of `evacuate start`.
pub(super) const EVACUATE_START: &str = "\
Examples:
  kubectl emqx evacuate start emqx-core-0 --dry-run=client
  kubectl emqx evacuate start emqx-core-0 --conn-evict-rate 50 --watch
  kubectl emqx evacuate start emqx@10.0.0.7 --wait-health-check 30s --redirect-to mqtt.example.com:1883
  kubectl emqx evacuate start emqx@10.0.0.7 --emqx-url http://10.0.0.8:18083 --api-key-file key";

/// The help text of `evacuate stop`.
pub(super) const EVACUATE_STOP: &str = "\
Examples:
  kubectl emqx evacuate stop
  kubectl emqx evacuate stop emqx-core-0 --yes";

/// The help text of `evacuate status`.
pub(super) const EVACUATE_STATUS: &str = "\
Examples:
  kubectl emqx evacuate status
  kubectl emqx evacuate status emqx-core-0 -o json";

/// The help text of `evacuate watch`.
pub(super) const EVACUATE_WATCH: &str = "\
Examples:
  kubectl emqx evacuate watch emqx-core-0
  kubectl emqx evacuate watch -o jsonl --record evacuation.jsonl";

/// The help text of `evacuate list`.
pub(super) const EVACUATE_LIST: &str = "\
Examples:
  kubectl emqx evacuate list
  kubectl emqx evacuate list -A -o json";

/// The help text of `rebalance plan`.
pub(super) const PLAN: &str = "\
Examples:
  kubectl emqx rebalance plan emqx --preset careful --deadline 1h --show-command
  kubectl emqx rebalance plan emqx --conn-evict-rate 10 --abs-conn-threshold 100 -o json > plan.json
  kubectl emqx rebalance plan emqx --calibrate last-week.jsonl --diff
  kubectl emqx rebalance plan --counts 3333,3333,3334,0 --target-spread 2%";

/// The help text of `rebalance generate`.
pub(super) const GENERATE: &str = "\
Examples:
  kubectl emqx rebalance generate emqx --conn-evict-rate 10 | kubectl apply -f -
  kubectl emqx rebalance generate emqx --for-operator 2.3 --name evening > rebalance.yaml
  kubectl emqx rebalance generate emqxenterprise/emqx-ee -o json";

/// The help text of `rebalance apply`.
pub(super) const APPLY: &str = "\
Examples:
  kubectl emqx rebalance apply emqx --watch
  kubectl emqx rebalance apply emqx --conn-evict-rate 10 --watch
  kubectl emqx rebalance apply -f plan.json --max-drift 3% --yes
  kubectl emqx rebalance apply emqx --dry-run=server -o yaml";

/// The help text of `watch`.
pub(super) const VIEW: &str = "\
Examples:
  kubectl emqx watch
  kubectl emqx watch -A --read-only
  kubectl emqx watch emqx --record evening.jsonl
  kubectl emqx watch emqx -o jsonl --timeout 10m";

/// The help text of `rebalance watch`.
pub(super) const WATCH: &str = "\
Examples:
  kubectl emqx rebalance watch
  kubectl emqx rebalance watch emqx-20261123-101358 --timeout 30m
  kubectl emqx rebalance watch coordinator/emqx@10.0.0.7 -o jsonl";

/// The help text of `rebalance stop`.
pub(super) const STOP: &str = "\
Examples:
  kubectl emqx rebalance stop
  kubectl emqx rebalance stop emqx-20261123-101358 --yes
  kubectl emqx rebalance stop coordinator/emqx@10.0.0.7 --reason 'too many reconnects'";

/// The help text of `rebalance list`.
pub(super) const LIST: &str = "\
Examples:
  kubectl emqx rebalance list
  kubectl emqx rebalance list -A -o wide
  kubectl emqx rebalance list -o json";

/// The help text of `rebalance prune`.
pub(super) const PRUNE: &str = "\
Examples:
  kubectl emqx rebalance prune --older-than 7d
  kubectl emqx rebalance prune --dry-run=client
  kubectl emqx rebalance prune -n mq --yes";

/// The help text of `replay`.
pub(super) const REPLAY: &str = "\
Examples:
  kubectl emqx replay evening.jsonl
  kubectl emqx replay evening.jsonl --speed 10
  kubectl emqx replay evening.jsonl -o jsonl";

/// The help text of `demo`.
pub(super) const DEMO: &str = "\
Examples:
  kubectl emqx demo
  kubectl emqx demo coordinator-crash
  kubectl emqx demo upgrade-v1beta4
  kubectl emqx demo serve documented-v2 --speed 20";

/// The help text of `demo serve`.
pub(super) const DEMO_SERVE: &str = "\
Scenarios:
  documented (= documented-v2beta1), documented-v1beta4, documented-v2, documented-v3beta1,
  balanced, coordinator-crash, sticky-balancer, big,
  upgrade-v1beta4, upgrade-v2beta1, upgrade-v2, upgrade-v3beta1, upgrade-stuck

Examples:
  kubectl emqx demo serve
  kubectl emqx demo serve documented-v1beta4 --speed 20 --kubeconfig-out demo.kubeconfig
  kubectl emqx demo serve upgrade-v2beta1 --speed 20
  kubectl emqx demo serve --file my-scenario.yaml";

/// The help text of `version`.
pub(super) const VERSION: &str = "\
Examples:
  kubectl emqx version
  kubectl emqx version -A -o json
  kubectl emqx --version";

/// The help text of `check`.
pub(super) const CHECK: &str = "\
Examples:
  kubectl emqx check
  kubectl emqx check emqx --for upgrade
  kubectl emqx check -o json
  kubectl emqx check -o json | jq -r '.checks[] | select(.status == \"blocked\") | .id'";

/// The help text of `history`.
pub(super) const HISTORY: &str = "\
Examples:
  kubectl emqx history
  kubectl emqx history emqx -o wide
  kubectl emqx history -A -o json
  kubectl emqx history -o json | jq -r '.items[] | select(.verdict == \"clientsMissing\") | .name'";

/// The help text of `report`.
pub(super) const REPORT: &str = "\
Examples:
  kubectl emqx report
  kubectl emqx report emqx -o html > report.html
  kubectl emqx report --from evening.jsonl -o json
  kubectl emqx report --from evening.jsonl --redact -o html > report.html";

/// The help text of `upgrade`.
pub(super) const UPGRADE: &str = "\
Examples:
  kubectl emqx upgrade emqx --image emqx/emqx-enterprise:5.8.7
  kubectl emqx upgrade emqx-ee --version 4.4.24 --blue-green
  kubectl emqx upgrade plan emqx --image emqx/emqx-enterprise:5.8.7";

/// The help text of `upgrade plan`.
pub(super) const UPGRADE_PLAN: &str = "\
Examples:
  kubectl emqx upgrade plan emqx --image emqx/emqx-enterprise:5.8.7
  kubectl emqx upgrade plan emqx-ee --version 4.4.24 --conn-evict-rate 200
  kubectl emqx upgrade plan --image emqx/emqx-enterprise:5.8.7 -o json";

/// The help text of `upgrade generate`.
pub(super) const UPGRADE_GENERATE: &str = "\
Examples:
  kubectl emqx upgrade generate emqx --image emqx/emqx-enterprise:5.8.7
  kubectl emqx upgrade generate emqx --image emqx/emqx-enterprise:5.8.7 -o full > emqx.yaml
  kubectl emqx upgrade generate emqx-ee --version 4.4.24 -o kustomize > kustomization.yaml";

/// The help text of `upgrade apply`.
pub(super) const UPGRADE_APPLY: &str = "\
Examples:
  kubectl emqx upgrade apply emqx --image emqx/emqx-enterprise:5.8.7 --watch
  kubectl emqx upgrade apply emqx-ee --version 4.4.24 --one-by-one --yes
  kubectl emqx upgrade apply emqx --image emqx/emqx-enterprise:5.8.7 --dry-run=server";

/// The help text of `upgrade watch`.
pub(super) const UPGRADE_WATCH: &str = "\
Examples:
  kubectl emqx upgrade watch
  kubectl emqx upgrade watch emqx --timeout 30m
  kubectl emqx upgrade watch emqx-ee -o jsonl --record evening.jsonl";

/// The help text of `upgrade undo`.
pub(super) const UPGRADE_UNDO: &str = "\
Examples:
  kubectl emqx upgrade undo emqx
  kubectl emqx upgrade undo emqx --to emqx/emqx-enterprise:5.8.6
  kubectl emqx upgrade undo emqx --dry-run=client";

/// The help text of `upgrade list`.
pub(super) const UPGRADE_LIST: &str = "\
Examples:
  kubectl emqx upgrade list
  kubectl emqx upgrade list -A -o json";

/// The help text of `completion`.
pub(super) const COMPLETION: &str = "\
Examples:
  kubectl emqx completion install
  kubectl emqx completion zsh > \"${fpath[1]}/_kubectl_emqx\"
  kubectl emqx completion fish | source
  source <(kubectl emqx completion bash)";

/// The help text of `completion install`.
pub(super) const COMPLETION_INSTALL: &str = "\
Examples:
  kubectl emqx completion install
  kubectl emqx completion install --dir ~/.local/bin";
