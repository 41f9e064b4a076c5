//! The jail keeps the promises of every backend.

use capsule_backend::conformance::CASES;
use capsule_jail::Jail;

macro_rules! promises {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let case = CASES.iter().find(|case| case.name == stringify!($name));
                (case.expect("the suite has this case").check)(&Jail::default());
            }
        )*

        #[test]
        fn no_promise_is_left_out() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(CASES.iter().map(|case| case.name).collect::<Vec<_>>(), tested);
        }
    };
}

promises! {
    says_what_it_can_do
    passes_the_exit_code_on
    captures_both_streams_as_bytes
    names_the_execution
    tells_events_in_order
    reads_nothing_unless_told
    starts_in_the_working_directory
    gives_a_clean_environment
    says_when_there_is_no_such_command
    says_when_a_signal_ended_it
    keeps_output_and_metrics_of_a_timeout
    kills_the_whole_tree_at_a_timeout
    does_not_wait_for_who_holds_the_pipe
    limits_memory
    limits_processes
    limits_output_and_awaits_the_end
    limits_the_private_disk
    measures_time
    hides_the_files_of_the_host
    keeps_the_system_read_only
    mounts_read_only
    mounts_writable
    refuses_mounts_through_links
    has_no_network
    has_no_privileges
    refuses_without_a_required_wall
    forgets_private_files
}

#[test]
fn many_jails_at_a_time_in_one_process() {
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for case in CASES.iter().filter(|case| {
                    ["passes_the_exit_code_on", "captures_both_streams_as_bytes", "mounts_writable"]
                        .contains(&case.name)
                }) {
                    (case.check)(&Jail::default());
                }
            });
        }
    });
}
