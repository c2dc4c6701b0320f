"""What is promised of security and of faults, and which tests hold it: a row for each of RELIABILITY.md's S1 to S36
(ways to be abused) and F1 to F60 (what breaks), in our own words. tests/test_security.py sees that each has its tests.

A test is named as `room/test_file::test_name` (of tests/, without .py).
"""

from typing import NamedTuple


class Row(NamedTuple):
    """`holds` is what must be so; `tests` fail when it is not."""

    holds: str
    tests: str


ROWS: dict[str, Row] = {
    # Abuse
    "S1": Row("An API key is 256 random bits, shown once and kept as a digest, by which it is found.",
        "accounts/test_keys::test_what_a_key_looks_like_and_what_is_kept_of_it "
        "blackbox/test_accounts::test_nothing_secret_is_kept_as_it_is"),
    "S2": Row("A key counts by its whole text, never by its beginning.",
        "accounts/test_directory::test_a_key_is_found_by_its_whole_text_only"),
    "S3": Row("Secrets are compared in constant time as bytes, and odd bytes are a refusal.",
        "blackbox/test_errors::test_a_key_of_strange_bytes web/test_guarding::test_odd_bytes_are_a_refusal"),
    "S4": Row("A key counts alike in either header; two that differ are refused; one in an address is none.",
        "doors/test_http::test_presented_key blackbox/test_errors::test_two_different_keys "
        "web/test_guarding::test_a_key_in_the_address_is_none"),
    "S5": Row("A password's hash is slow, and many sign-ins at once take no more memory than a few.",
        "accounts/test_passwords::test_a_new_hash_is_as_slow_as_owasp_asks "
        "accounts/test_turns::test_past_a_few_strangers_are_told_to_come_again"),
    "S6": Row("Guesses are throttled by name and by address, nobody is locked out by strangers, and names are not "
        "told.",
        "blackbox/test_accounts::test_guesses_are_throttled_and_good_callers_are_not "
        "blackbox/test_accounts::test_guesses_in_parallel_count "
        "accounts/test_entrance::test_a_wrong_password_costs_as_much_whoever_it_is_of "
        "blackbox/test_accounts::test_login_tells_nothing_about_names "
        "accounts/test_entrance::test_who_has_logged_in_from_there_lately_stands_before_the_crowd"),
    "S7": Row("A session is random, kept as a digest, new at each sign-in, ended by time, by leaving and by a new "
        "password.",
        "accounts/test_sessions::test_sessions_end_by_themselves "
        "accounts/test_sessions::test_sessions_outlive_a_restart_and_the_cookie_is_not_kept "
        "blackbox/test_accounts::test_a_session_of_before_ends_and_is_never_adopted "
        "blackbox/test_accounts::test_a_changed_password_gives_the_browser_a_new_cookie"),
    "S8": Row("The cookie is HttpOnly and SameSite; over https it is Secure and bound to this host too.",
        "web/test_guarding::test_the_cookie_over_https "
        "blackbox/test_accounts::test_a_session_is_a_cookie_with_a_proof"),
    "S9": Row("Only this server's own pages make a browser change anything.",
        "web/pages/test_desk::test_only_our_own_page_may_send_a_form "
        "web/pages/test_desk::test_another_site_signs_nobody_in "
        "blackbox/test_accounts::test_another_site_opens_no_session "
        "browser/test_forms::test_a_form_that_is_not_ours_does_nothing"),
    "S10": Row("What others wrote is text on every page, and no page runs a script that is not its own.",
        "web/pages/test_desk::test_what_browsers_are_told_of_a_page "
        "web/pages/test_calls::test_what_stands_in_calls_is_text web/pages/test_keys::test_names_are_text "
        "browser/test_hostile::test_what_others_chose_is_text"),
    "S11": Row("No cell of an export is a formula.",
        "core/test_logged::test_a_text_is_no_formula cli/test_ledger::test_no_cell_is_a_formula "
        "web/pages/test_ledger::test_entries_as_a_file"),
    "S12": Row("Pages of other origins read model routes only, and never with a browser's cookie.",
        "blackbox/test_contract::test_account_routes_are_closed_to_other_origins web/test_site::test_other_origins "
        "web/test_site::test_a_page_is_not_open_to_other_origins"),
    "S13": Row("Requests go to addresses of the config alone, whatever a caller or an upstream names; no redirect is "
        "followed; a provider key goes to its own provider.",
        "config/test_providers::test_an_address_is_whole_and_a_key_goes_to_its_own_provider_only "
        "blackbox/test_canaries::test_a_byok_key_never_goes_to_a_channel_of_ours "
        "blackbox/test_canaries::test_what_routes_or_bills_is_not_a_caller_s "
        "transports/test_transports::test_any_status_is_an_answer "
        "transports/test_transports::test_environment_is_not_asked"),
    "S14": Row("A caller's fields neither route, nor price, nor make anybody an operator.",
        "blackbox/test_canaries::test_what_routes_or_bills_is_not_a_caller_s "
        "blackbox/test_accounts::test_nobody_makes_himself_more"),
    "S15": Row("What is another's is as if it were not there.",
        "blackbox/test_who_may::test_nobody_sees_what_is_another_s "
        "blackbox/test_who_may::test_what_is_another_s_is_as_if_it_were_not_there "
        "browser/test_others::test_another_s_things_are_not_there"),
    "S16": Row("Every route is in one table of who may; an API key operates nothing.",
        "blackbox/test_who_may::test_every_route_has_its_line blackbox/test_who_may::test_a_key "
        "blackbox/test_who_may::test_a_user web/test_managing::test_operators_alone"),
    "S17": Row("No text of a caller's becomes a part of a statement or of a pattern in one.",
        "test_security::test_statements_are_of_our_own_words "
        "store/test_records::test_entries "
        "blackbox/test_operating::test_odd_queries_are_refused_or_taken_and_never_fail"),
    "S18": Row("Headers go up and down by a list of ours: nothing of a caller's or of an upstream's passes by itself.",
        "blackbox/test_canaries::test_the_upstream_sees_its_own_key_only "
        "blackbox/test_canaries::test_an_upstream_s_headers_do_not_pass"),
    "S19": Row("What a header cannot carry is refused before it stands in one.",
        "doors/test_intake::test_a_header_that_brings_no_provider_key_is_refused "
        "transports/test_transports::test_header_values_that_http_cannot_carry "
        "transports/test_transports::test_header_names_that_http_cannot_carry"),
    "S20": Row("A request whose end two could read in two ways is refused, and its connection closed.",
        "doors/test_fast_smuggling::test_what_is_in_doubt_is_refused_and_nothing_after_it_read "
        "doors/test_hypercorn::test_f6_ambiguous_framing_is_refused blackbox/test_ways::test_every_way_is_alike"),
    "S21": Row("A body of any JSON, or of none, is read or refused in words: depth, numbers, surrogates, names twice.",
        "dialects/test_openai_chat_request::test_refused dialects/test_openai_chat_request::test_arbitrary_json "
        "fuzz/test_fuzz::test_few_examples "
        "blackbox/test_errors::test_lone_surrogates_and_duplicate_keys_are_survived "
        "blackbox/test_hostile::test_bodies_share_one_budget web/test_fields::test_what_is_refused"),
    "S22": Row("A compressed body is refused; a compressed answer is refused, or read as far as its limit.",
        "blackbox/test_errors::test_415 transports/test_transports::test_compressed_answer_is_refused "
        "line/test_relaying::test_a_bomb_is_not_blown_up"),
    "S23": Row("Who is slow, or opens very many connections, is let go.",
        "doors/test_fast::test_slow_heads_are_cut_at_the_budget doors/test_fast::test_a_slow_body_is_refused "
        "doors/test_fast::test_a_client_that_never_reads_is_dropped "
        "doors/test_fast::test_more_than_max_connections_closes_the_newest "
        "blackbox/test_hostile::test_two_thousand_idle_connections_are_let_go"),
    "S24": Row("Limits of calls, of calls in flight and of money are exact when many come at once.",
        "blackbox/test_limits::test_parallel_calls_are_counted_exactly "
        "blackbox/test_limits::test_calls_in_flight_of_one_account "
        "blackbox/test_money::test_a_key_s_quota_is_exact_in_parallel"),
    "S25": Row("An event is believed with Stripe's signature alone, and without a secret there is nothing to believe.",
        "accounts/test_signed::test_what_does_not fuzz/test_fuzz::test_few_examples "
        "web/test_payments::test_events_need_no_credential_but_a_secret_of_ours "
        "blackbox/test_payments::test_what_stripe_did_not_sign_changes_nothing"),
    "S26": Row("Nobody is sent on to another host: not after signing in, not after paying.",
        "web/pages/test_desk::test_an_address_leads_nowhere_else accounts/test_returning::test_not_ours "
        "blackbox/test_payments::test_a_payer_is_sent_back_to_us_alone"),
    "S27": Row("No secret stands in a log, an error, a metric or a file, whoever said it and however it is spelt.",
        "house/test_log::test_a_line_is_text_without_secrets core/test_redact::test_secrets_go "
        "transports/test_transports::test_nothing_of_a_call_is_logged "
        "blackbox/test_canaries::test_keys_in_every_place_of_a_request "
        "blackbox/test_byok::test_no_trace_of_a_key_is_left_anywhere "
        "blackbox/test_cases_operations::test_no_caller_writes_on_the_operator_s_terminal"),
    "S28": Row("An error is JSON with the request's id and without its cause; a fault of ours ends one request.",
        "web/test_site::test_errors_that_a_route_raises doors/test_fast::test_a_fault_ends_its_connection_only "
        "line/test_line::test_a_bug_of_ours_costs_one_call_and_no_money"),
    "S29": Row("There is no password to begin with: the first operator comes by a link that is printed and holds once.",
        "accounts/test_setup::test_of_many_with_the_link_at_once_one_comes_in "
        "accounts/test_setup::test_another_token_is_none "
        "blackbox/test_first_start::test_the_printed_link_makes_the_operator_once blackbox/test_who_may::test_nobody"),
    "S30": Row("A login token holds with our algorithm, key and claims alone.",
        "accounts/test_sessions::test_tokens_that_are_none_of_ours fuzz/test_fuzz::test_few_examples"),
    "S31": Row("A client's address is the socket's, or what a trusted proxy says.",
        "core/test_addresses::test_client_address fuzz/test_fuzz::test_few_examples"),
    "S32": Row("An upstream shows a certificate for its name by an authority that is trusted; there is no way around.",
        "transports/test_transports::test_tls_unknown_authority transports/test_transports::test_tls_wrong_name"),
    "S33": Row("What is installed and built from is pinned with hashes, and nothing runs because it lies in a folder.",
        "test_build::test_what_is_not_pinned_with_hashes_is_not_built_from "
        "test_build::test_only_a_wheel_with_a_hash_of_the_lock_is_taken "
        "test_audit::test_what_is_locked_has_hashes_and_wheels"),
    "S34": Row("Files of the data are for their owner alone; no secret stands on a command line.",
        "store/test_database::test_the_file_is_for_its_owner_only house/test_lock::test_modes "
        "house/test_control::test_who_may_open_it "
        "store/test_backup::test_a_copy_is_for_its_owner_only_and_says_what_it_holds "
        "blackbox/test_care::test_the_doctor_finds_open_doors cli/test_accounts::test_no_password_on_the_command_line"),
    "S35": Row("No answer with anybody's data is kept by a cache.",
        "web/test_site::test_every_answer_has_an_id_and_is_not_kept "
        "web/pages/test_desk::test_what_browsers_are_told_of_a_page"),
    "S36": Row("An upstream's answer is a stranger's text: its size, its kind, its counts and its words are looked at.",
        "blackbox/test_canaries::test_whatever_the_upstream_says core/test_usage::test_believed "
        "fuzz/test_fuzz::test_few_examples "
        "dialects/test_sse::test_no_byte_is_lost"),
    # Before anybody is known
    "F1": Row("An upgrade to HTTP/2 is answered in HTTP/1.1 and ends nothing.",
        "doors/test_hypercorn::test_f1_h2c_upgrade_is_answered_as_http_1 blackbox/test_hostile::test_hostile_bytes"),
    "F2": Row("HTTP/2 by its preface is refused.", "doors/test_hypercorn::test_f2_f3_h2_by_prior_knowledge_is_refused"),
    "F3": Row("A body that comes after an early refusal ends its own connection only.",
        "doors/test_hypercorn::test_f3_body_after_an_early_refusal_ends_only_its_connection "
        "blackbox/test_hostile::test_a_refused_upload_gets_its_answer"),
    "F4": Row("A WebSocket's upgrade with a byte behind it is an ordinary request.",
        "doors/test_hypercorn::test_f4_websocket_upgrade_with_a_byte_behind_it"),
    "F5": Row("Random bytes, TLS on a plain port, huge heads, odd targets and resets cost their connection.",
        "doors/test_hypercorn::test_f5_odd_requests doors/test_hypercorn::test_f5_resets_right_after_connecting "
        "blackbox/test_hostile::test_hostile_bytes fuzz/test_fuzz::test_few_examples"),
    "F6": Row("Two lengths, a length with chunks, a negative one and bad chunks are refused.",
        "doors/test_hypercorn::test_f6_ambiguous_framing_is_refused doors/test_hypercorn::test_f6_bad_chunk_is_refused "
        "doors/test_fast_smuggling::test_what_is_in_doubt_is_refused_and_nothing_after_it_read"),
    "F7": Row("No key, a wrong one and any bytes in its place are one refusal that writes nothing.",
        "blackbox/test_errors::test_401 blackbox/test_errors::test_a_key_of_strange_bytes "
        "doors/test_http::test_a_long_key_is_refused_unread"),
    # Upstreams
    "F8": Row("Nobody there, no such name, no connection in time: the caller is told within the limit and pays "
        "nothing.",
        "blackbox/test_errors::test_nobody_there_is_503 transports/test_transports::test_unknown_name "
        "transports/test_transports::test_connect_limit blackbox/test_faults::test_what_fails_before_content_alone"),
    "F9": Row("A certificate that is not trusted is a failed attempt.",
        "transports/test_transports::test_tls_unknown_authority transports/test_transports::test_tls_wrong_name "
        "transports/test_transports::test_tls_handshake_that_breaks"),
    "F10": Row("A 429 goes to another channel, or back with the time to wait.",
        "blackbox/test_errors::test_all_at_429_is_503_with_retry_after "
        "blackbox/test_errors::test_a_short_retry_after_is_waited_for "
        "line/test_line::test_a_short_retry_after_is_waited_for_and_a_long_one_is_not"),
    "F11": Row("A failure and then an answer are one hold and one charge.",
        "blackbox/test_errors::test_what_recovers_is_one_answer_and_one_charge "
        "line/test_line::test_each_failure_before_content_goes_to_the_next_candidate_in_one_hold"),
    "F12": Row("What always fails is tried as often as is set, and costs nothing.",
        "blackbox/test_errors::test_500_is_tried_again_and_then_502 line/test_line::test_when_all_have_failed"),
    "F13": Row("A refused key of ours is our trouble; a refused key of the caller's is the caller's, and not repeated.",
        "blackbox/test_errors::test_our_trouble_with_the_provider_is_never_the_caller_s "
        "blackbox/test_byok::test_the_upstream_s_refusal_of_a_key_is_the_caller_s "
        "line/test_brought::test_an_upstream_that_says_the_key_is_not_echoed"),
    "F14": Row("Silence before the head ends at its limit.",
        "blackbox/test_errors::test_timeouts_are_504 line/test_line::test_limits_before_content"),
    "F15": Row("Silence within an answer ends it with an error, and what came is paid.",
        "line/test_line::test_an_idle_stream_is_ended_with_an_error_the_client_can_read "
        "blackbox/test_faults::test_what_breaks_after_content"),
    "F16": Row("A cut stream never looks finished, however it was framed.",
        "blackbox/test_streams::test_a_truncated_stream_ends_in_an_error_and_no_done "
        "line/test_line::test_a_stream_that_ends_without_a_finish_is_not_sold_as_finished "
        "transports/test_transports::test_a_reset_is_no_clean_end transports/test_transports::test_cut_body"),
    "F17": Row("Odd events pass as they came, or end the stream in an error.",
        "blackbox/test_streams::test_strange_events dialects/test_sse::test_no_byte_is_lost "
        "line/test_relaying::test_an_event_that_cannot_be_read_fails_over_before_content_and_ends_the_stream_after"),
    "F18": Row("An event, an answer and a head have a limit, and memory with them.",
        "dialects/test_sse::test_an_event_without_end_is_given_up transports/test_direct::test_head_limit "
        "line/test_relaying::test_too_much_to_keep_back_begins_the_answer"),
    "F19": Row("What is no answer is none: HTML, nothing, an error in a 200.",
        "blackbox/test_errors::test_a_200_that_is_no_answer_is_502 "
        "blackbox/test_faults::test_what_fails_before_content_alone"),
    "F20": Row("Counts that cannot be are replaced by our own; no cost is negative or past the hold.",
        "core/test_usage::test_refused core/test_usage::test_believed "
        "blackbox/test_money::test_usage_that_cannot_be_believed_is_estimated "
        "line/test_line::test_absurd_usage_is_replaced"),
    "F21": Row("Counts that come in parts, or twice, are one charge.",
        "dialects/test_anthropic_messages::test_usage "
        "dialects/test_anthropic_messages::test_output_that_only_the_start_told_is_not_believed "
        "line/test_relaying::test_an_empty_usage_replaces_nothing "
        "line/test_review::test_usage_behind_the_end_marker_counts"),
    "F22": Row("An answer that drips without end has an end.",
        "line/test_line::test_the_total_limit_ends_a_slow_drip "
        "blackbox/test_lifecycle::test_the_limit_of_a_whole_call"),
    "F23": Row("A kept connection that closes as it is used again is tried once more, where nothing was answered.",
        "transports/test_transports::test_close_that_crosses_the_next_request "
        "transports/test_transports::test_crossing_close_is_retried_once_only "
        "transports/test_transports::test_break_after_a_response_byte_is_not_retried"),
    "F24": Row("A compressed answer is refused, and a bomb is not blown up.",
        "transports/test_transports::test_compressed_answer_is_refused "
        "line/test_relaying::test_a_bomb_is_not_blown_up"),
    "F25": Row("A redirect is not followed.",
        "transports/test_transports::test_any_status_is_an_answer "
        "blackbox/test_errors::test_a_200_that_is_no_answer_is_502 "
        "blackbox/test_faults::test_what_fails_before_content_alone"),
    "F26": Row("An early refusal is heard while a body goes up; interim answers are passed over, and not for ever.",
        "transports/test_direct::test_an_early_refusal_of_a_large_body_is_the_answer "
        "transports/test_transports::test_interim_answers_are_passed_over transports/test_direct::test_head_limit"),
    "F27": Row("An error inside a stream is told in the caller's dialect, and its words are not charged.",
        "line/test_line::test_an_error_inside_a_stream_is_passed_on_redacted_and_not_billed_as_output "
        "line/test_keepalive_dialects::test_a_channel_that_refuses_once_the_head_has_gone"),
    # Clients
    "F28": Row("Who leaves stops the upstream, and pays once for what came.",
        "blackbox/test_client_gone::test_gone_before_content blackbox/test_client_gone::test_gone_in_mid_stream "
        "line/test_cancel_everywhere::test_every_await"),
    "F29": Row("Leaving is seen whatever was sent before.",
        "doors/test_hypercorn::test_f29_leaving_is_seen_at_once_whatever_was_sent_before "
        "doors/test_fast::test_leaving_is_seen_at_once"),
    "F30": Row("Half a close is leaving too.", "doors/test_hypercorn::test_f30_half_close_counts_as_leaving"),
    "F31": Row("Who stops reading is dropped, and holds no stop up.",
        "doors/test_fast::test_a_client_that_never_reads_is_dropped "
        "blackbox/test_client_gone::test_gone_after_not_reading "
        "blackbox/test_lifecycle::test_a_client_that_does_not_read_cannot_hold_the_end_up"),
    "F32": Row("A head that comes slowly is cut.",
        "doors/test_hypercorn::test_f32_slow_head_is_cut_at_the_budget blackbox/test_hostile::test_slow_heads_are_cut"),
    "F33": Row("A slow body is refused before anything is held.",
        "doors/test_fast::test_a_slow_body_is_refused "
        "blackbox/test_client_gone::test_a_request_left_unfinished_costs_nothing"),
    "F34": Row("Idle connections are let go.",
        "doors/test_hypercorn::test_f34_idle_connections_are_reaped doors/test_fast::test_idle_connections_are_closed "
        "blackbox/test_hostile::test_two_thousand_idle_connections_are_let_go"),
    "F35": Row("A stream to an old client, or to one that said close, ends.",
        "doors/test_hypercorn::test_f35_close_and_http_1_0_end_with_eof "
        "doors/test_fast::test_close_and_http_1_0_end_with_eof "
        "blackbox/test_hostile::test_a_stream_to_an_old_client_ends"),
    "F36": Row("Bodies too large, too deep, of odd numbers and odd types are refused before anything is held.",
        "dialects/test_openai_chat_request::test_refused blackbox/test_errors::test_413 "
        "blackbox/test_errors::test_invalid_value "
        "blackbox/test_errors::test_a_huge_number_is_no_crash "
        "fuzz/test_fuzz::test_few_examples"),
    "F37": Row("An unknown model is a refusal, and its name is text.",
        "blackbox/test_contract::test_an_unknown_model blackbox/test_errors::test_model_not_found "
        "browser/test_hostile::test_what_others_chose_is_text"),
    "F38": Row("A balance for ten serves ten of many.",
        "blackbox/test_money::test_200_calls_on_a_balance_for_ten "
        "store/test_ledger::test_holds_drain_a_balance_to_the_last_unit_and_not_past_it"),
    "F39": Row("A checkout or a grant that is repeated is done once; another one under its key is refused. A "
        "model's call "
        "is each time another: no dialect promises anything else.",
        "blackbox/test_payments::test_the_same_idempotency_key_is_the_same_session "
        "blackbox/test_operating::test_twenty_at_once_with_one_ref_are_one "
        "accounts/test_credits::test_a_ref_with_other_values_is_refused"),
    "F40": Row("Thousands that leave at any moment keep no connection.",
        "transports/test_transports::test_thousands_of_cancelled_calls_leave_nothing "
        "blackbox/test_client_gone::test_hundreds_that_leave_at_any_moment"),
    # The process and its storage
    "F41": Row("Killed anywhere, a start finds the books whole.",
        "blackbox/test_failpoints::test_killed_there "
        "blackbox/test_failpoints::test_every_place_is_passed_somewhere_and_every_passing_has_a_name "
        "blackbox/test_crash::test_kill_9_during_twenty_streams "
        "store/test_power_loss::test_cut_at_every_commit_and_at_every_page_in_between"),
    "F42": Row("Told to stop, it lets what is short finish, ends what is endless with an error, and settles.",
        "blackbox/test_lifecycle::test_a_short_stream_may_finish "
        "blackbox/test_lifecycle::test_an_endless_stream_gets_an_error_and_is_settled "
        "blackbox/test_lifecycle::test_a_second_signal_ends_the_waiting "
        "blackbox/test_lifecycle::test_an_idle_server_ends_at_once"),
    "F43": Row("A full disk takes no new call, and loses no charge where room comes back.",
        "store/test_writer_for_real::test_a_full_disk store/test_writer_for_real::test_a_file_that_may_not_grow "
        "line/test_line::test_no_new_call_while_the_database_takes_no_commits "
        "blackbox/test_care::test_what_a_full_disk_costs_at_a_shutdown_is_said"),
    "F44": Row("A database that another one locks delays, or refuses, and loses nothing.",
        "store/test_writer_for_real::test_another_process_holds_the_database "
        "house/test_unanswered::test_a_grant_on_a_locked_database_and_its_repeats"),
    "F45": Row("Data that cannot be used is told in a line, and left as it is.",
        "blackbox/test_lifecycle::test_data_that_cannot_be_used_is_left_alone store/test_database::test_a_damaged_page "
        "store/test_database::test_not_a_database store/test_database::test_a_read_only_file"),
    "F46": Row("A second server on the same data is refused.",
        "blackbox/test_lifecycle::test_a_second_server_on_the_same_data_is_refused "
        "house/test_lock::test_a_second_lock_is_refused_and_told_who_and_where"),
    "F47": Row("A config that cannot be used changes nothing; one that can is in force in one step.",
        "house/test_reload::test_what_cannot_be_used_changes_nothing "
        "house/test_reload::test_other_settings_are_in_force_in_one_step "
        "blackbox/test_reload::test_open_streams_see_nothing_of_it"),
    "F48": Row("A clock that jumps moves no limit and loses no money.",
        "days/test_days::test_days core/test_lately::test_a_clock_that_stands_still_or_steps_back_loses_nothing "
        "core/test_spending::test_a_clock_that_goes_wrong_for_a_while_loses_nothing "
        "blackbox/test_payments::test_secrets_that_roll_and_clocks_that_differ"),
    "F49": Row("With no descriptor left it goes on when one comes back.",
        "doors/test_fast::test_accept_errors_are_logged_and_survived "
        "store/test_inbox::test_a_long_batch_needs_no_temporary_file"),
    "F50": Row("A log that cannot be written stops nobody.",
        "house/test_log::test_a_log_that_is_closed_stops_nobody "
        "blackbox/test_cases_operations::test_a_log_that_nobody_reads_holds_nobody_up "
        "blackbox/test_first_start::test_a_reader_that_leaves_after_ready"),
    "F51": Row("Without a writer nothing is served, and the process ends.",
        "store/test_writer_faults::test_the_writer_dies_and_nobody_waits_for_ever "
        "house/test_house::test_a_writer_that_dies_at_the_start_is_told house/test_serving::test_what_ends_a_process"),
    "F52": Row("A backup beside a busy writer is whole.",
        "store/test_backup::test_beside_a_busy_writer blackbox/test_care::test_backup_and_restore"),
    # Payments
    "F53": Row("An event that comes often, late, or before its payment is one credit.",
        "blackbox/test_payments::test_ten_deliveries_at_once_are_one_credit "
        "blackbox/test_payments::test_a_refund_before_the_payment_was_heard_of "
        "core/test_payments::test_any_order_and_repeat_of_events_leaves_the_right_balance"),
    "F54": Row("An event that Stripe did not sign, or not now, changes nothing, whatever bytes it is.",
        "accounts/test_signed::test_what_does_not fuzz/test_fuzz::test_few_examples "
        "blackbox/test_payments::test_what_stripe_did_not_sign_changes_nothing"),
    "F55": Row("A payment that is not as we asked is put aside for the operator.",
        "blackbox/test_payments::test_what_differs_is_quarantined blackbox/test_payments::test_unpaid_is_not_paid "
        "blackbox/test_payments::test_events_that_lie_are_not_believed"),
    "F56": Row("What no event told is found, and the late event does nothing.",
        "blackbox/test_payments::test_what_no_webhook_said_is_found_by_command_and_the_late_one_does_nothing "
        "blackbox/test_payments::test_what_happened_while_it_was_away_is_found_at_the_start"),
    "F57": Row("An answer of Stripe's that was lost is asked for again under its key.",
        "blackbox/test_payments::test_an_answer_lost_twice_is_one_session "
        "accounts/test_payments::test_callers_who_leave_at_any_moment_leave_no_session_behind"),
    "F58": Row("Refunds and disputes take back what they took, spent or not.",
        "accounts/test_payments::test_refunds_and_disputes_in_any_order "
        "blackbox/test_payments::test_what_was_spent_is_taken_back_all_the_same"),
    "F59": Row("Killed around an event, it is one credit.",
        "blackbox/test_payments_crash::test_killed_there blackbox/test_payments_crash::test_killed_at_random_times"),
    "F60": Row("To look at a payment credits nothing that was not paid, nor shows another's; checkouts are few a "
        "minute.",
        "web/pages/test_billing::test_another_s_payment_is_none blackbox/test_payments::test_whose_payments_are_shown "
        "blackbox/test_payments::test_unpaid_is_not_paid blackbox/test_payments::test_ten_checkouts_a_minute"),
}  # fmt: skip
