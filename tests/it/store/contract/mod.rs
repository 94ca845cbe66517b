//! What every store promises, as functions of a store. `contract_suite!(make)` turns them into tests of one implementation;
//! `make` is an async function that returns an empty store as a [`super::support::Fixture`].

pub mod copilot;
pub mod deliveries;
pub mod dispatch;
pub mod drafts;
pub mod forge;
pub mod members;
pub mod replicas;
pub mod requests;
pub mod runs;
pub mod signals;
pub mod storms;
pub mod tasks;
pub mod upkeep;

macro_rules! contract_suite {
    ($make:path) => {
        contract_suite!($make; deliveries:
            a_batch_reads_back_in_order_byte_for_byte,
            a_delivery_told_again_is_answered_with_the_first_id,
            a_delivery_written_again_under_its_own_id_is_no_duplicate_of_itself,
            batches_of_every_size_are_written_whole,
            deliveries_wait_in_order_until_they_are_dispatched,
            what_is_passed_by_leaves_all_that_is_read_at_once_to_others,
            what_nobody_handles_is_kept_but_never_waits,
            listings_filter_by_source_and_state,
            pages_are_complete_and_without_repeats_while_rows_are_added,
            a_cursor_of_another_listing_is_refused,
            many_writers_at_once_lose_nothing);
        contract_suite!($make; dispatch:
            an_event_opens_a_request_with_a_timeline_and_a_task,
            a_second_event_joins_the_live_request,
            an_event_told_again_is_marked_and_opens_nothing,
            which_events_are_recorded_is_told_by_their_keys_within_a_source,
            a_delivery_is_dispatched_once,
            a_large_batch_is_recorded_as_if_one_by_one,
            a_delivery_dispatched_by_many_at_once_opens_one_request,
            after_an_end_the_next_generation_is_opened,
            a_delivery_that_cannot_be_read_is_kept_with_its_error,
            one_event_may_open_requests_of_several_automations,
            a_person_may_ask_without_a_delivery,
            a_storm_of_joins_does_not_fill_the_timeline,
            events_filter_by_every_field);
        contract_suite!($make; signals:
            the_newest_event_of_a_key_counts_in_whatever_order_they_come,
            a_sender_whose_clock_is_ahead_does_not_have_the_last_word,
            what_delivery_tools_said_is_kept_by_what_they_spoke_of_the_newest_first,
            words_of_any_length_are_kept_and_known_again,
            the_longest_keys_and_subjects_there_are_are_taken,
            what_was_told_is_kept_over_what_was_kept_before,
            what_is_told_is_noted_by_whoever_holds_the_task_alone,
            what_was_refused_is_begun_again_at_a_persons_word_and_nothing_else_is,
            a_clue_leads_to_its_requests_the_newest_first);
        contract_suite!($make; runs:
            an_end_is_kept_once_and_a_word_more_changes_nothing,
            an_end_that_is_said_before_the_merge_is_known_is_the_requests,
            an_end_of_before_a_run_was_planned_is_none_of_its_own,
            an_end_is_heard_by_the_requests_that_add_such_a_run_and_are_merged,
            ends_go_with_their_retention_and_may_be_said_again,
            an_object_with_a_name_that_none_can_have_stands_in_no_plans_way);
        contract_suite!($make; tasks:
            claims_take_the_oldest_of_each_lane,
            a_source_that_floods_a_lane_leaves_each_other_its_turn,
            a_repository_with_much_to_do_leaves_each_other_its_turn,
            what_burns_goes_first_for_as_long_as_the_rest_can_wait,
            tasks_of_a_lane_are_claimed_together_as_far_as_there_is_room,
            a_task_begun_twice_in_vain_is_claimed_alone,
            settling_many_harms_none_for_another,
            leases_are_extended_all_or_none,
            tasks_are_added_without_touching_the_request,
            what_is_hurried_is_noted_and_disturbs_nobody_at_work,
            tasks_without_a_lane_do_not_wait_for_one_another,
            a_task_that_is_not_due_is_not_claimed,
            a_lease_that_ran_out_is_free_again_and_the_old_fence_is_refused,
            a_lost_lease_is_taken_over_before_the_rest_of_its_lane,
            a_lease_of_what_is_in_hand_is_not_lost_whatever_the_clock_shows,
            what_others_hold_is_left_to_them_while_the_clock_is_not_believed,
            an_extended_lease_holds,
            when_the_clock_is_set_back_pauses_and_leases_last_no_longer_than_they_would_have,
            a_clock_that_many_see_set_back_is_followed_once,
            a_task_that_another_holds_under_the_same_fence_is_that_one_s,
            what_is_in_hand_under_a_fence_that_was_lost_is_not_given_to_its_holder_again,
            settling_writes_request_timeline_and_follow_up_together,
            a_settlement_on_a_stale_request_writes_nothing,
            a_retry_waits_and_keeps_its_error,
            a_dead_letter_is_kept_listed_and_never_claimed,
            a_task_that_is_postponed_waits_and_its_attempt_does_not_count,
            a_task_that_goes_on_in_another_lane_frees_its_own_and_keeps_its_turn,
            tasks_given_back_do_not_count_the_attempt,
            tasks_taken_back_from_the_dead_count_the_attempt,
            a_task_added_again_is_due_at_the_earlier_time,
            a_retried_task_and_one_added_meanwhile_become_one,
            tasks_of_one_request_are_done_one_at_a_time,
            parallel_claims_take_each_task_once,
            the_next_due_time_knows_waiting_tasks_and_leases,
            a_repository_is_left_for_a_moment_to_who_was_last_at_work_there);
        contract_suite!($make; replicas:
            a_duty_is_had_by_one_until_its_time_is_over_or_it_is_given_back,
            a_duty_whose_time_lies_too_far_ahead_keeps_nobody_off,
            a_duty_that_many_take_at_once_one_has,
            what_is_done_under_a_duty_goes_on_while_that_is_kept,
            what_waits_is_dispatched_by_one_at_a_time,
            a_death_counts_against_what_was_read_alone_and_nothing_else,
            tasks_that_many_claim_while_others_write_are_held_by_one_each);
        contract_suite!($make; requests:
            every_field_of_a_request_reads_back,
            commits_are_known_by_the_requests_that_have_or_pushed_them,
            of_two_writers_the_second_loses,
            a_request_is_not_revived_beside_a_live_one_with_its_key,
            an_update_drops_and_adds_tasks,
            an_update_that_fails_half_way_leaves_nothing,
            listings_filter_and_page_newest_first,
            requests_are_found_by_the_source_of_their_event_and_groups_by_any,
            the_newest_request_of_a_pull_request_is_found,
            a_comment_that_comes_before_its_pull_requests_number_is_the_requests_once_it_is_noted,
            of_comments_on_strangers_pull_requests_the_newest_thousand_are_kept,
            a_comment_with_commands_is_heard_of_once_and_kept_until_it_is_answered,
            where_a_comment_stands_is_noted_by_whoever_holds_the_task_alone,
            requests_that_change_the_same_files_are_found_while_they_may_matter,
            the_files_of_a_request_follow_its_plan_and_go_with_it,
            what_is_not_there_is_not_found);
        contract_suite!($make; storms:
            a_first_plan_waits_until_events_pause_but_never_beyond_its_bound,
            of_the_events_that_were_waited_for_the_newest_counts,
            a_plan_that_was_begun_is_not_moved_on,
            who_asks_in_person_does_not_wait_and_hurries_a_request_that_does,
            no_more_pull_requests_are_opened_within_any_hour_than_a_limit_allows,
            a_target_has_a_limit_of_its_own_and_holds_up_no_other,
            room_is_kept_until_the_pull_request_is_open_and_given_back_when_there_will_be_none,
            who_insists_is_let_through_and_counts,
            many_who_ask_at_once_never_get_more_room_than_there_is,
            room_is_taken_by_whoever_holds_the_task_alone,
            what_requests_did_to_a_file_is_told_with_its_times_once_it_is_over);
        contract_suite!($make; members:
            events_of_a_group_become_members_of_one_request_in_order_of_arrival,
            who_joins_after_the_plan_was_begun_owes_another_one,
            a_group_s_next_plan_waits_for_further_events_as_its_first_does,
            what_a_plan_came_to_is_kept_with_each_member,
            a_member_that_was_refused_or_changed_nothing_tries_anew_with_the_next_event,
            a_member_is_taken_out_by_its_key_or_number_and_the_last_one_ends_the_request,
            members_an_ended_request_did_not_take_along_go_on_in_the_next,
            nobody_goes_on_where_all_were_taken_along_or_the_whole_was_cancelled,
            a_request_that_stood_alone_becomes_the_group_s_first_member,
            a_person_s_retry_begins_anew_with_every_member,
            a_member_s_event_and_delivery_are_kept_while_its_request_lives);
        contract_suite!($make; drafts:
            a_draft_begun_twice_is_the_first_one,
            a_turn_is_kept_with_what_was_said_and_what_it_did_cost,
            calls_are_summed_and_progress_is_seen_without_what_was_said,
            a_call_that_could_go_beyond_the_requests_budget_is_not_made,
            an_attempt_that_was_cut_off_counts_for_what_it_was_reckoned_at,
            a_day_ends_at_midnight_for_an_automation_and_for_all,
            many_calls_reserved_at_once_never_go_beyond_a_budget,
            a_drafts_end_is_written_with_the_settlement_or_neither_is,
            a_request_that_ends_takes_its_running_draft_along,
            drafts_have_room_of_their_own_and_are_no_repositorys_backlog,
            drafts_wait_in_one_lane_and_are_made_beside_one_another,
            drafts_go_with_their_request,
            a_draft_is_written_by_whoever_holds_the_task_alone);
        contract_suite!($make; copilot:
            calls_of_the_copilot_and_turns_of_drafts_use_the_same_day,
            calls_reserved_at_once_never_go_beyond_the_day,
            a_suggestion_is_kept_until_its_retention_is_over);
        contract_suite!($make; forge:
            pull_requests_are_numbered_within_their_repository,
            an_open_head_branch_has_one_pull_request,
            a_pull_request_is_replaced_by_the_version_read,
            pull_requests_filter_and_page_newest_first,
            a_token_is_found_by_its_hash_until_it_ends);
        contract_suite!($make; upkeep:
            an_empty_store_counts_nothing,
            counts_follow_what_happens,
            retention_removes_what_is_over_and_old,
            retention_never_removes_what_a_live_request_needs,
            retention_keeps_what_is_still_to_be_dispatched_and_dead_letters,
            retention_works_in_slices,
            what_is_kept_is_looked_through_once_a_pass,
            a_slice_looks_at_no_more_than_takes_a_moment,
            a_pull_request_that_is_over_goes_with_the_last_request_that_had_it,
            what_was_said_goes_in_slices_too,
            what_waits_for_its_hour_is_no_backlog_and_keeps_its_request,
            a_check_writes);
    };
    ($make:path; $part:ident: $($name:ident),* $(,)?) => {
        mod $part {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let (store, _keep) = $make().await;
                    crate::store::contract::$part::$name(store).await;
                }
            )*
        }
    };
}
