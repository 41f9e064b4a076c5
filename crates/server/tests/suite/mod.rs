//! What every backend must show through the server. Each function gets a server without
//! keys, on loopback, and its backend only matters to what it starts.

pub mod archives;
pub mod attacks;
pub mod client;
pub mod doors;
pub mod exec;
pub mod files;
pub mod lives;
pub mod logs;
pub mod processes;
pub mod snapshots;
pub mod terminals;

/// How many times as long a short life is, where making takes tenths of a second: the time
/// of a sandbox begins when it is asked for.
pub fn pace() -> u64 {
    if std::env::var_os("CAPSULE_CONFORMANCE_RUNTIME").is_some() { 4 } else { 1 }
}

/// Whether sandboxes have a kernel of their own, which has its ways: docs/guide-docker.md lists
/// them.
pub fn is_gvisor() -> bool {
    std::env::var("CAPSULE_CONFORMANCE_RUNTIME").is_ok_and(|runtime| runtime == "runsc")
}

/// Every test of the suite, for a function that gives the server's address.
#[macro_export]
macro_rules! suite {
    ($site:ident) => {
        $crate::suite!($site; exec: wire, timeout_answers_in_time, endless_loop_is_ended,
            timeout_leaves_no_process, output_cap_is_told, bytes_are_kept, missing_program_is_an_error,
            input_and_environment, contexts_carry_over, batches_stop, code_runs,
            a_client_that_goes_takes_its_command_along, many_at_once);
        $crate::suite!($site; files: hostile_names, large_files, whats_missing_is_told,
            names_change, no_way_out, special_files_do_not_hang, streams_break_off_loudly);
        $crate::suite!($site; archives: directories_go_and_come, hostile_archives, parts_of_files);
        $crate::suite!($site; attacks: hostile_json, smuggled_requests, paths_that_climb,
            terminal_escapes, slow_clients);
        $crate::suite!($site; lives: time_is_kept, idle_time_is_kept, keys_make_one,
            labels_and_pages, pauses, deletion_is_final, unknown_is_unknown);
        $crate::suite!($site; logs: logs_are_found, every_way_is_logged,
            ends_of_all_kinds_are_logged);
        $crate::suite!($site; processes: output_is_kept_and_told_again, input_and_signals,
            stream_of_a_command, gone_listener_ends_a_stream, socket_of_a_command,
            slow_listener_loses_nothing);
        $crate::suite!($site; snapshots: a_snapshot_is_what_was_there,
            processes_stand_still_while_they_are_read, a_clone_has_files_and_variables);
        $crate::suite!($site; terminals: raw_bytes_both_ways, size_and_commands,
            closed_terminal_leaves_nothing, a_terminal_that_stays, expiry_is_told,
            terminals_of_the_unknown);
        $crate::suite!($site; doors: json_rpc_is_complete, pages_are_kept_out, bodies_are_bounded,
            heads_are_bounded, broken_frames, metrics_and_health, discovery);
    };
    ($site:ident; $module:ident: $($name:ident),*) => {
        mod $module {
            $(
                #[test]
                fn $name() {
                    let site = super::$site();
                    $crate::suite::$module::$name(&site);
                }
            )*
        }
    };
}
