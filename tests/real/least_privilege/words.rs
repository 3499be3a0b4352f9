//! The effects of missing permissions, in the languages of the pages.

/// English and Chinese.
pub type Words = [&'static str; 2];

pub const REFUSED_KIND: Words = ["refused, if the instance is of that kind", "如果实例属于该 kind，则被拒绝"];
pub const LEFT_OUT: Words = ["clusters of that kind are left out", "略去该 kind 的集群"];
pub const BY_EMQX_ALONE: Words = ["only EMQX reports what runs", "正在运行的操作只能由 EMQX 报告"];
pub const NOT_FOUND: Words = ["refused: the named object is not found", "被拒绝：找不到指定名称的对象"];
pub const NOT_PRUNED: Words =
    ["refused: it is unknown which objects are finished", "被拒绝：无法确定哪些对象已经结束"];
pub const UNMARKED: Words = [
    "the object is not marked as stopped, and is not released if its deletion hangs: other clients that follow it may report `coordinatorLost`",
    "对象不会被标记为已停止，删除卡住时也不会被释放：跟踪它的其他客户端可能报告 `coordinatorLost`",
];
pub const PODS: Words = ["pods are unknown, and EMQX is not queried", "Pod 未知，也不查询 EMQX"];
pub const UNASKED: Words = ["refused: EMQX cannot be queried", "被拒绝：无法查询 EMQX"];
pub const NO_PLAN: Words =
    ["the plan is refused, with exit 6: EMQX cannot be queried", "计划被拒绝，退出码 6：无法查询 EMQX"];
pub const UNKNOWN: Words = [
    "EMQX is not queried: `unknown`, where the object does not decide it",
    "不查询 EMQX：对象不能决定时为 `unknown`",
];
pub const NOT_STOPPED: Words =
    ["refused, where the operator alone would not stop it", "如果单靠 Operator 停不下来，则被拒绝"];
pub const STAYS: Words = [
    "objects that report `Failed` remain: EMQX may still run them",
    "报告 `Failed` 的对象会保留：EMQX 可能仍在运行它们",
];
pub const HOW_FAR: Words = ["refused: the progress of the upgrade is unknown", "被拒绝：升级的进度未知"];
pub const SERVING: Words = ["it is unknown which nodes receive new clients", "哪些节点接收新客户端未知"];
pub const SILENCE: Words = [
    "the operator's last activity is taken from its status alone",
    "Operator 的最近活动时间只能取自它写的状态",
];
pub const PROCESS: Words = [
    "nothing is reported: an idle operator and one whose process is gone look alike",
    "不作报告：空闲的 Operator 与进程已消失的 Operator 看起来相同",
];
pub const SETS: Words = [
    "the target revision and the previous revision of an upgrade are not distinguished",
    "无法区分升级的目标版本与旧版本",
];
pub const COUNTS: Words = [
    "EMQX is not queried: the operator's counts, as of its last status update",
    "不查询 EMQX：使用 Operator 最后一次更新状态时的计数",
];
pub const RUNS: Words = ["it is unknown what EMQX runs", "EMQX 正在运行的操作未知"];
pub const LATER: Words = ["changes are read every 15 s", "每 15 s 读取一次变化"];
pub const FORETOLD: Words =
    ["the plan reports that it may not be applied, with exit 6", "计划会报告它不能执行，退出码 6"];
pub const BEFORE: Words = ["refused before anything is changed", "在做任何修改之前被拒绝"];
pub const WHOLE_REFUSED: Words = ["refused", "被拒绝"];
pub const OWNERS: Words = ["other managers of the image field are unknown", "管理镜像字段的其他管理者未知"];
pub const GATES: Words = [
    "reported by the plan: old pods stay in the Service during their evacuation",
    "计划会报告：旧 Pod 在疏散期间仍留在 Service 中",
];
pub const STATES: Words = ["the stored state of an upgrade is unknown", "存储的升级状态未知"];
pub const RECORDED: Words = [
    "verdicts that other clients recorded of operations without an object are missing",
    "缺少其他客户端为没有对象的操作记录的结论",
];
pub const NOT_STORED: Words = [
    "the state at the start of the upgrade is not stored for a later `upgrade watch`",
    "升级开始时的状态没有存储，之后的 `upgrade watch` 无法使用",
];
pub const SCALE: Words = [
    "reported by the plan: after an undo, the empty StatefulSet has to be scaled down with `kubectl scale`",
    "计划会报告：回滚后空的 StatefulSet 需要用 `kubectl scale` 缩容",
];
pub const UNOFFERED: Words = ["`<Tab>` offers fewer candidates", "`<Tab>` 的候选项较少"];
pub const UNKNOWN_CHECKS: Words = [
    "the checks that need it are `unknown`, and name what is missing",
    "需要它的检查为 `unknown`，并指出缺少什么",
];
pub const UNLISTED: Words = ["refused: the pods are unknown", "被拒绝：Pod 未知"];
pub const UNCHECKED: Words = ["reported by the plan: this limit is not checked", "计划会报告：不检查该限制"];

pub const UNFINISHED: Words =
    ["a drain or a scale that is not finished does not refuse it", "未完成的排空或扩缩容不会拒绝它"];

pub const IN_SERVICE: Words = [
    "EMQX 4.4: pods stay in the Service until their evacuations begin; the plan reports how many clients may be disconnected twice",
    "EMQX 4.4：Pod 在疏散开始之前留在 Service 中；计划会报告有多少客户端可能被断开两次",
];
