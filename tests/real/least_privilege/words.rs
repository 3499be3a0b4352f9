//! What is missing without a right, in the languages of the READMEs.

/// English and Chinese.
pub type Words = [&'static str; 2];

pub const MEANT: Words = ["refused, if it is the kind that is meant", "如果它正是所指的 kind，则被拒绝"];
pub const LEFT_OUT: Words = ["clusters of that kind are left out", "略去该 kind 的集群"];
pub const BY_EMQX_ALONE: Words = ["what runs is known by EMQX alone", "正在运行什么，只有 EMQX 知道"];
pub const NOT_FOUND: Words = ["refused: what is named is not found", "被拒绝：找不到所指的对象"];
pub const NOT_PRUNED: Words =
    ["refused: which objects are over is not known", "被拒绝：不知道哪些对象已经结束"];
pub const UNMARKED: Words = [
    "the object is not marked as stopped, and is not freed if its delete hangs: who follows it may report `coordinatorLost`",
    "对象不会被标记为已停止，删除卡住时也不会被释放：跟踪它的人可能看到 `coordinatorLost`",
];
pub const PODS: Words = ["pods are not known, and EMQX is not asked", "不知道有哪些 Pod，也不询问 EMQX"];
pub const UNASKED: Words = ["refused: EMQX cannot be asked", "被拒绝：无法询问 EMQX"];
pub const NO_PLAN: Words =
    ["the plan is refused, with exit 6: EMQX cannot be asked", "计划被拒绝，退出码 6：无法询问 EMQX"];
pub const UNKNOWN: Words = [
    "EMQX is not asked: `unknown`, where the object does not decide it",
    "不询问 EMQX：对象不能决定时为 `unknown`",
];
pub const NOT_STOPPED: Words =
    ["refused, where the operator alone would not stop it", "如果单靠 Operator 停不下来，则被拒绝"];
pub const STAYS: Words =
    ["what says Failed stays: EMQX may still run it", "显示 Failed 的保留：EMQX 可能仍在运行它"];
pub const HOW_FAR: Words = ["refused: how far it is is not known", "被拒绝：不知道进行到了哪里"];
pub const SERVING: Words = ["who gets new clients is not known", "不知道谁接收新客户端"];
pub const SILENCE: Words =
    ["the operator's silence is told by its status alone", "Operator 沉默了多久，只能看它写的状态"];
pub const SETS: Words =
    ["the old and the new set of an upgrade are not told apart", "无法区分升级中的旧集合与新集合"];
pub const COUNTS: Words = [
    "EMQX is not asked: the operator's counts, as old as its last word",
    "不询问 EMQX：用 Operator 的计数，与它的最后一次更新一样旧",
];
pub const RUNS: Words = ["what EMQX runs is not known", "不知道 EMQX 在运行什么"];
pub const LATER: Words = ["changes are seen every 15 s", "每 15 s 才看到变化"];
pub const FORETOLD: Words =
    ["the plan says that it may not be applied, with exit 6", "计划会说明不能执行，退出码 6"];
pub const BEFORE: Words = ["refused before anything is done", "在做任何事之前被拒绝"];
pub const WHOLE_REFUSED: Words = ["refused", "被拒绝"];
pub const OWNERS: Words = ["who else keeps the image is not known", "不知道还有谁管理镜像字段"];
pub const GATES: Words = [
    "the plan says so: old pods stay in the Service while they are emptied",
    "计划会说明：旧 Pod 在清空时仍留在 Service 中",
];
pub const STATES: Words = ["what is stored about an upgrade is not known", "不知道所存储的升级信息"];
pub const NOT_STORED: Words = [
    "a later `upgrade watch` does not know how the upgrade began",
    "之后的 `upgrade watch` 不知道升级如何开始",
];
pub const SCALE: Words = [
    "the plan says so: an undo leaves the empty set to `kubectl scale`",
    "计划会说明：回滚后空的 StatefulSet 需用 `kubectl scale` 缩容",
];
pub const UNOFFERED: Words =
    ["`<Tab>` does not offer what only it tells", "`<Tab>` 不提供只有它知道的候选项"];
