use std::io::Write as _;

use super::*;
use crate::model::{InstanceId, InstanceKind, Operation, Verdict};
use jiff::Timestamp;

fn entry(number: u64) -> HistoryEntry {
    HistoryEntry {
        version: 1,
        operation: Operation::Drain,
        instance: InstanceId { kind: InstanceKind::Emqx, namespace: "mq".into(), name: "emqx".into() },
        cluster: None,
        name: "drain/emqx".into(),
        uid: None,
        object_unknown: false,
        verdict: Verdict::Done,
        message: "moved".into(),
        started: None,
        ended_after: None,
        ended: Timestamp::UNIX_EPOCH,
        followed: None,
        planned_seconds: None,
        evacuations: None,
        connections: (None, None),
        sessions: (None, None),
        moved_connections: Some(number),
        by: "ann@laptop".into(),
        recording: None,
    }
}

struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Self {
        Self(user_files::private_folder("kubectl-emqx-state-").expect("a folder"))
    }

    fn folder(&self) -> Folder {
        Folder::new(self.0.join("state/kubectl-emqx"), None, None)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn numbers(folder: &Folder) -> Vec<u64> {
    let history = folder.history().expect("it can be read");
    history.entries.iter().filter_map(|entry| entry.moved_connections).collect()
}

#[test]
fn the_state_folder_is_that_of_the_environment_and_a_relative_one_is_ignored() {
    let of = |pairs: &'static [(&'static str, &'static str)]| {
        path(&move |name: &str| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    };
    assert_eq!(of(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Some("/s/kubectl-emqx".into()));
    assert_eq!(of(&[("XDG_STATE_HOME", "s"), ("HOME", "/h")]), Some("/h/.local/state/kubectl-emqx".into()));
    assert_eq!(of(&[("HOME", "")]), None);
}

#[cfg(unix)]
#[test]
fn only_the_user_can_read_the_history() {
    use std::os::unix::fs::PermissionsExt as _;
    let temporary = Temporary::new();
    let folder = temporary.folder();
    assert!(numbers(&folder).is_empty(), "nothing is there, and nothing is created by reading");
    assert!(!folder.path.exists());
    folder.append(&entry(1)).expect("it is written");
    folder.append(&entry(2)).expect("it is written");
    assert_eq!(numbers(&folder), [1, 2]);
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path), 0o700);
    assert_eq!(mode(&folder.path.join(NEWEST)), 0o600);
}

#[test]
fn many_processes_at_once_lose_no_entry() {
    let temporary = Temporary::new();
    let path = temporary.folder().path;
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let path = path.clone();
            scope.spawn(move || {
                let folder = Folder::new(path, None, None);
                for number in 0..25 {
                    folder.append(&entry(thread * 100 + number)).expect("it is written");
                }
            });
        }
    });
    let mut found = numbers(&temporary.folder());
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 200);
}

#[test]
fn the_history_is_bounded_and_keeps_the_newest() {
    let temporary = Temporary::new();
    let folder = temporary.folder();
    folder.append(&entry(0)).expect("it is written");
    let newest = folder.path.join(NEWEST);
    let filler = format!("{}\n", "x".repeat(1000)).repeat(1100);
    OpenOptions::new()
        .append(true)
        .open(&newest)
        .and_then(|mut it| it.write_all(filler.as_bytes()))
        .expect("filled");
    for number in 1..4 {
        folder.append(&entry(number)).expect("it is written");
    }
    assert_eq!(numbers(&folder), [0, 1, 2, 3], "the older part is still read");
    assert!(std::fs::metadata(&newest).is_ok_and(|it| it.len() < ROTATED_BYTES));
}

#[test]
fn a_line_that_a_full_disk_cut_costs_one_entry_and_hostile_lines_are_counted() {
    let temporary = Temporary::new();
    let folder = temporary.folder();
    folder.append(&entry(1)).expect("it is written");
    let half = entry(2).line();
    let hostile = format!("\u{1b}[2J\n{}\nnull\n{}", "z".repeat(3 * LONGEST_ENTRY), &half[..half.len() / 2]);
    let newest = folder.path.join(NEWEST);
    OpenOptions::new()
        .append(true)
        .open(&newest)
        .and_then(|mut it| it.write_all(hostile.as_bytes()))
        .expect("written");
    folder.append(&entry(3)).expect("it is written");
    assert_eq!(numbers(&folder), [1, 3]);
    assert_eq!(folder.history().expect("read").unreadable, 4);
}

#[test]
fn a_folder_that_cannot_be_written_is_a_problem_with_its_path() {
    let temporary = Temporary::new();
    std::fs::write(temporary.0.join("file"), "").expect("written");
    let folder = Folder::new(temporary.0.join("file/kubectl-emqx"), None, None);
    let problem = folder.append(&entry(1)).expect_err("it is no folder");
    assert!(problem.what.contains("file/kubectl-emqx"), "{problem}");
    assert!(numbers(&Folder::new(temporary.0.join("none"), None, None)).is_empty());
}

#[test]
fn a_recording_is_on_disk_only_when_it_is_kept_and_the_oldest_are_removed() {
    let temporary = Temporary::new();
    let path = temporary.0.join("state");
    for number in 0..25 {
        let recording = OwnRecording::default();
        let mut writer = recording.clone();
        writer.write_all(b"before\n").expect("it is held");
        let folder = Folder::new(path.clone(), None, Some(recording));
        assert_eq!(folder.recording(), None);
        let name = folder.keep_recording(&format!("emqx/../{number}")).expect("kept").expect("a name");
        writer.write_all(b"after\n").expect("it is written");
        assert_eq!(folder.keep_recording("other").expect("kept").as_ref(), Some(&name), "once");
        let file = recording_path(&path, &name).expect("a name");
        assert_eq!(read(&file).expect("it is there"), b"before\nafter\n");
    }
    assert_eq!(std::fs::read_dir(path.join(recording::FOLDER)).expect("listed").count(), 20);
    assert_eq!(recording_path(&path, "../../etc/passwd"), None);
}

#[test]
fn a_recording_ends_where_it_is_too_long() {
    let mut writer = OwnRecording::default();
    let megabyte = vec![b'x'; 1 << 20];
    let written = (0..40).take_while(|_| writer.write_all(&megabyte).is_ok()).count();
    assert_eq!(written, 16);
}
