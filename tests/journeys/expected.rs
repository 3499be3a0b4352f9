//! The expectations of users of a kubectl plugin, and the tests for them.

/// The tests of an expectation on a real API server.
enum Real {
    /// `file: test`.
    Tests(&'static [&'static str]),
    /// The reason why such a test would add nothing.
    Nothing(&'static str),
}

use Real::{Nothing, Tests};

/// The expectations, with their tests against `demo serve` and beside it, as `file: test`; and on a real API
/// server.
const EXPECTED: [(&str, &[&str], Real); 25] = [
    (
        "1 -n, -A, --context, --kubeconfig everywhere",
        &[
            "journeys/plugin_conventions.rs: every_command_takes_kubectls_flags",
            "journeys/reads.rs: with_all_namespaces_or_a_selector_a_read_is_a_list",
        ],
        Tests(&["real/plugin_conventions.rs: ways_in", "real/least_privilege/narrow.rs: one_namespace"]),
    ),
    (
        "2 the other connection flags",
        &[
            "journeys/plugin_conventions.rs: the_selected_identity_reaches_the_api_server",
            "journeys/partial_permissions.rs: a_server_that_does_not_answer_is_given_up_after_the_timeout",
        ],
        Tests(&[
            "real/plugin_conventions.rs: ways_in",
            "real/refused_access.rs: closed",
            "real/least_privilege/identities.rs: another_name",
        ]),
    ),
    (
        "3 json and yaml with all that the text shows",
        &[
            "journeys/reads.rs: every_read_prints_the_same_as_yaml_and_as_json",
            "it/output_json.rs: status_has_the_keys_of_the_contract_and_null_for_the_unknown",
        ],
        Tests(&["real/plugin_conventions.rs: outputs"]),
    ),
    (
        "4 name, wide, jsonpath as in kubectl get",
        &[
            "it/sim_kubectl.rs: our_jsonpath_prints_what_kubectl_prints",
            "journeys/reads.rs: a_template_picks_from_the_document_that_json_shows",
            "journeys/plugin_conventions.rs: names_and_wide_tables_are_there_where_kubectl_has_them",
        ],
        Tests(&["real/plugin_conventions.rs: outputs"]),
    ),
    (
        "5 a wait that ends by itself",
        &["journeys/follows.rs: balanced_although_the_operator_reports_failed"],
        Tests(&["real/line22.rs: restarts", "real/upgrades.rs: by_the_operator"]),
    ),
    (
        "6 --timeout with units and a failing exit",
        &["journeys/follows.rs: a_follow_that_times_out_names_how_to_continue"],
        Tests(&["real/least_privilege/cases.rs: tried"]),
    ),
    (
        "7 a failure ends the wait at once",
        &[
            "journeys/follows.rs: a_lost_coordinator_is_a_failure_although_the_operator_reports_completed",
            "journeys/follows.rs: one_that_emqx_refused_is_failed_with_the_reason",
        ],
        Tests(&["real/hanging_delete.rs: run", "real/line22.rs: to_the_end"]),
    ),
    (
        "8 exit codes that a script can branch on",
        &[
            "it/cli_parse.rs: the_root_help_lists_exit_codes_and_environment",
            "journeys/follows.rs: a_sticky_load_balancer_ends_uneven",
        ],
        Tests(&[
            "real/hanging_delete.rs: run",
            "real/line22.rs: one_at_a_time",
            "real/upgrades.rs: by_the_operator",
        ]),
    ),
    (
        "9 --dry-run=client and server on every mutation",
        &[
            "journeys/plugin_conventions.rs: every_command_that_writes_has_a_dry_run",
            "journeys/plans.rs: a_dry_run_asks_nothing_and_makes_nothing",
            "journeys/stops.rs: stop_asks_first_and_a_dry_run_changes_nothing",
            "journeys/upgrades.rs: a_dry_run_returns_the_result_and_stores_nothing",
        ],
        Tests(&[
            "real/plugin_conventions.rs: changes",
            "real/least_privilege/cases.rs: tried",
            "real/line22.rs: prune",
        ]),
    ),
    (
        "10 a diff before apply",
        &[
            "journeys/terminals.rs: apply_asks_and_no_is_no",
            "journeys/upgrades.rs: the_change_is_generated_in_every_form",
        ],
        Tests(&["real/plugin_conventions.rs: changes", "real/upgrade_inputs.rs: generated"]),
    ),
    (
        "11 server-side apply with a named manager, conflicts shown",
        &[
            "real/upgrade_changes/change.rs: owners_are_those_of_the_server",
            "journeys/plugin_conventions.rs: whose_change_it_is_reaches_the_api_server",
        ],
        Tests(&["real/upgrade_inputs.rs: kept_by_a_tool", "real/plugin_conventions.rs: changes"]),
    ),
    (
        "12 already so is success, --error-unchanged for 3",
        &[
            "journeys/plugin_conventions.rs: what_is_so_already_is_success_unless_asked_otherwise",
            "journeys/upgrades.rs: the_same_image_is_nothing_to_do_and_no_terminal_is_a_refusal",
        ],
        Tests(&["real/line22.rs: one_at_a_time", "real/plugin_conventions.rs: changes"]),
    ),
    (
        "13 to see what blocks",
        &[
            "journeys/partial_permissions.rs: who_may_not_create_is_refused_before_anything_is_done",
            "journeys/inputs.rs: clusters_in_which_nothing_can_be_rebalanced_say_why",
        ],
        Tests(&[
            "real/upgrade_inputs.rs: kept_by_a_tool",
            "real/hanging_delete.rs: run",
            "real/line30.rs: through_emqx",
        ]),
    ),
    (
        "14 a prompt before harm, --yes for scripts",
        &[
            "journeys/terminals.rs: apply_asks_and_no_is_no",
            "journeys/plans.rs: without_a_terminal_and_without_yes_nothing_is_made",
        ],
        Tests(&["real/line22.rs: one_at_a_time", "real/line23.rs: stop"]),
    ),
    (
        "15 data on stdout, all else on stderr",
        &[
            "journeys/reads.rs: text_is_for_people_and_has_no_escape_sequence_in_a_pipe",
            "journeys/follows.rs: text_output_prints_names_to_stdout_and_progress_to_stderr",
        ],
        Tests(&["real/program.rs: refused", "real/line22.rs: restarts"]),
    ),
    (
        "16 colour only on a terminal, --color, NO_COLOR, TERM=dumb",
        &[
            "journeys/terminals.rs: colour_is_for_terminals_that_can",
            "journeys/reads.rs: colour_comes_when_it_is_asked_for_and_never_else",
        ],
        Nothing("a terminal's colours do not depend on the server"),
    ),
    (
        "17 plain lines when piped or in CI",
        &[
            "journeys/terminals.rs: plain_redraws_nothing",
            "journeys/reads.rs: ascii_is_ascii_on_both_streams",
        ],
        Tests(&["real/line22.rs: restarts"]),
    ),
    (
        "18 redraw that fits the window and survives resize",
        &[
            "it/screens/states.rs: a_screen_of_any_size_is_drawn",
            "it/output_inline.rs: forty_columns_and_eight_lines_still_show_the_progress",
        ],
        Nothing("a window is drawn from the same picture for each server"),
    ),
    (
        "19 the usual keys, and Ctrl-C always",
        &[
            "it/screens/rows.rs: rows_are_filtered_sorted_and_held",
            "it/terminal.rs: ctrl_c_and_signals_leave_a_whole_terminal",
            "it/terminal.rs: opened_filtered_planned_applied_watched_and_left",
        ],
        Nothing("keys are read from a terminal, not from a cluster"),
    ),
    (
        "20 meaning never by colour alone",
        &[
            "it/screens/states.rs: colour_only_repeats_what_a_word_states",
            "it/output_text.rs: meaning_is_never_by_colour_alone",
        ],
        Nothing("words and colours come from the same picture for each server"),
    ),
    (
        "21 Tab completion of names under kubectl emqx",
        &[
            "journeys/completion.rs: kubectl_itself_asks_the_shim",
            "journeys/completion.rs: bash_completes_kubectl_emqx_and_the_program",
        ],
        Tests(&["real/plugin_conventions.rs: completes"]),
    ),
    (
        "22 krew on Linux, macOS and Windows, arm64 too",
        &[
            "docs/krew.rs: krew_finds_installs_upgrades_and_removes_it",
            "docs/krew.rs: the_index_of_krew_would_take_the_manifest_of_all_six_platforms",
        ],
        Nothing("krew installs an archive and asks no cluster"),
    ),
    (
        "23 exec credentials, proxies, impersonation, in a pod",
        &[
            "journeys/plugin_conventions.rs: a_login_command_gives_the_credentials",
            "journeys/plugin_conventions.rs: a_proxy_of_the_kubeconfig_or_the_environment_is_gone_through",
            "journeys/plugin_conventions.rs: the_selected_identity_reaches_the_api_server",
            "journeys/plugin_conventions.rs: in_a_pod_the_service_account_is_enough",
        ],
        Tests(&[
            "real/plugin_conventions.rs: login_commands",
            "real/plugin_conventions.rs: proxies",
            "real/least_privilege/identities.rs: another_name",
            "real/least_privilege/identities.rs: in_a_pod",
        ]),
    ),
    (
        "24 least privilege, and the missing verb is named",
        &[
            "journeys/partial_permissions.rs: each_missing_right_makes_a_read_poorer_and_is_named_once",
            "docs/packaging.rs: the_shipped_permissions_are_those_that_the_program_needs",
        ],
        Tests(&["real/least_privilege/mod.rs: each", "real/least_privilege/narrow.rs: by_name"]),
    ),
    (
        "25 quick on big clusters",
        &["journeys/troubles.rs: a_thousand_nodes_are_quick"],
        Tests(&["real/least_privilege/mod.rs: crowd", "real/least_privilege/cases.rs: audited"]),
    ),
];

#[test]
fn each_expectation_has_a_test_that_is_there() {
    for (number, (expected, tests, real)) in (1..).zip(EXPECTED) {
        assert!(expected.starts_with(&format!("{number} ")) && !tests.is_empty(), "{expected}");
        let real = match real {
            Tests(tests) => tests,
            Nothing(why) => {
                assert!(why.len() > 20, "{expected}: why not?");
                &[]
            }
        };
        for test in tests.iter().chain(real) {
            let (file, name) = test.split_once(": ").expect("a file and a test");
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file);
            let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(text.contains(&format!("fn {name}(")), "{expected}: {file} has no {name}");
        }
    }
}
