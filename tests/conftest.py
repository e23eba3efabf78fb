"""What every test may use."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.examples import IS_THOROUGH, examples
from tests.services.fixtures import (
    azurite_bucket,
    gcs_bucket,
    ministack_bucket,
    postgres_server,
    rclone_bucket,
)
from tests.services.installed import absent
from tests.temporary import keep_in_memory

from crypto_lakehouse.http.retry import RetryPolicy

__all__ = ["azurite_bucket", "gcs_bucket", "ministack_bucket", "postgres_server", "rclone_bucket"]

settings.register_profile(
    "tests",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=examples(100),
    derandomize=not IS_THOROUGH,
)
settings.load_profile("tests")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name tests alike whenever they are collected: zips have the time in them."""
    if isinstance(val, bytes) and b"PK" in val:
        return f"{argname} of {len(val)} bytes"
    return None


#: Files, and tests, that take long: `make test-all` runs them, and `make test` does not.
SLOW = (
    "attack/",
    "charts/test_candle_chart.py::test_a_png_has_a_place_for_every_bar",
    "charts/test_candle_chart.py::test_any_title_is_drawn_as_it_is",
    "charts/test_coverage_plot.py::test_no_display_and_no_state_of_pyplot_is_needed",
    "cli/test_bench.py::test_a_signal_before_anything_was_measured",
    "cli/test_bench.py::test_a_signal_ends_it_with_what_was_measured",
    "cli/test_closed_pipe.py::test_a_command_whose_reader_has_enough_ends_with_141_and_in_silence",
    "cli/test_completion.py::test_a_tab_in_a_real_shell_completes_a_command_and_a_value",
    "cli/test_configured_catalog.py",
    "cli/test_daemon.py::test_it_works_until_it_is_stopped_and_reads_its_file_again",
    "cli/test_directories.py::test_a_directory_is_ingested_as_it_is_typed",
    "cli/test_equal_urls.py",
    "cli/test_fill.py::test_a_fill_that_is_killed_leaves_only_whole_days",
    "cli/test_fill.py::test_a_hole_that_is_not_filled_stays_a_failure",
    "cli/test_fill.py::test_a_signal_ends_a_fill_in_order",
    "cli/test_fill.py::test_one_command_collects_fills_and_ingests",
    "cli/test_ingest.py::test_a_contract_selects_what_is_stored_under_its_pair",
    "cli/test_lake_at_url.py::test_a_lake_is_copied_and_relocated_by_one_command",
    "cli/test_lake_at_url.py::test_a_lake_is_relocated_between_a_directory_and_a_store",
    "cli/test_lake_at_url.py::test_a_query_reads_the_tables_only",
    "cli/test_lake_at_url.py::test_python_opens_a_lake_at_a_url",
    "cli/test_lake_at_url.py::test_tables_are_beside_archives_in_the_store",
    "cli/test_lake_at_url.py::test_tables_of_a_directory_are_at_a_url",
    "cli/test_lake_at_url.py::test_the_tables_are_maintained",
    "cli/test_lake_commands.py::test_an_age_that_is_none_is_refused",
    "cli/test_lake_commands.py::test_tables_are_listed_compacted_expired_and_swept",
    "cli/test_lake_commands.py::test_unknown_tables_are_all_named_and_nothing_is_done",
    "cli/test_locales.py::test_a_symbol_has_its_own_name_on_disk_in_every_locale",
    "cli/test_locales.py::test_an_application_in_such_a_locale_is_told_what_to_set",
    "cli/test_locales.py::test_every_command_takes_it_in_every_locale",
    "cli/test_logs.py::test_logs_below_a_level_are_left_out",
    "cli/test_logs.py::test_with_json_every_line_on_standard_error_is_json",
    "cli/test_lost_state.py",
    "cli/test_matrix_refresh.py::test_a_terminal_shows_how_far_it_is",
    "cli/test_object_stores.py::test_archives_at_a_url_are_validated_and_ingested",
    "cli/test_object_stores.py::test_history_lists_writes_and_prunes",
    "cli/test_object_stores.py::test_verify_samples_sums_and_repairs",
    "cli/test_object_stores.py::test_what_is_collected_into_a_url_is_ingested",
    "cli/test_object_stores.py::test_worker_processes_write_to_the_store",
    "cli/test_processes.py::test_a_closed_pipe_is_no_fault",
    "cli/test_processes.py::test_a_second_run_ends_with_11",
    "cli/test_processes.py::test_a_signal_ends_a_run_in_order",
    "cli/test_processes.py::test_lines_in_a_pipe_and_a_display_on_a_terminal",
    "cli/test_progress.py::test_a_collection_keeps_to_one_line_of_a_terminal",
    "cli/test_progress.py::test_a_quiet_collection_paints_nothing",
    "cli/test_progress.py::test_a_row_fits_again_once_the_terminal_is_narrower",
    "cli/test_progress.py::test_both_halves_of_a_collection_with_ingestion_are_shown",
    "cli/test_progress.py::test_commands_show_their_progress_on_a_terminal",
    "cli/test_progress.py::test_logs_and_rows_do_not_tear_each_other",
    "cli/test_progress.py::test_marks_on_a_terminal_are_not_torn_by_progress",
    "cli/test_proxy_notes.py::test_the_proxy_is_said_with_what_names_it",
    "cli/test_query.py::test_a_wide_result_is_vertical_on_a_terminal",
    "cli/test_query.py::test_rows_are_written_through_a_device",
    "cli/test_query_formulas.py::test_the_command_keeps_formulas_unless_asked",
    "cli/test_query_open_files.py",
    "cli/test_query_shell.py::test_the_shell_answers_one_after_another",
    "cli/test_query_shell.py::test_the_shell_ends_when_it_is_told_to",
    "cli/test_query_signals.py::test_a_file_that_is_not_finished_is_removed_after_sigterm",
    "cli/test_query_signals.py::test_a_signal_ends_a_query_that_computes",
    "cli/test_query_signals.py::test_two_queries_into_one_file_leave_the_rows_of_one",
    "cli/test_record.py::test_a_documented_recording_runs[record --help: crypto-lakehouse record -o data --markets spot -s BTCUSDT --ingest",  # noqa: E501
    "cli/test_record.py::test_a_recording_that_is_killed_is_in_the_tables_after_the_next",
    "cli/test_render.py::test_a_first_plan_fits_a_narrow_terminal",
    "cli/test_render.py::test_a_table_that_is_too_wide_is_cut_with_a_mark",
    "cli/test_render.py::test_the_reasons_of_holes_are_there_at_every_usual_width",
    "cli/test_server_catalog.py::test_it_is_ingested_queried_and_maintained",
    "cli/test_server_catalog.py::test_two_ingestions_at_once_ingest_everything_once",
    "cli/test_shared_lake.py",
    "cli/test_shared_losses.py",
    "cli/test_shared_runs.py",
    "cli/test_status.py::test_more_series_than_a_picture_takes_are_left_out_with_a_word",
    "cli/test_status.py::test_what_the_ledger_does_not_have_is_named",
    "cli/test_storage_option.py::test_it_opens_the_store_of_a_lake",
    "cli/test_tenants.py::test_every_command_takes_one_tenant",
    "cli/test_terminal.py::test_a_query_whose_reader_has_enough_ends_with_141",
    "cli/test_terminal.py::test_parquet_is_refused_on_a_terminal_alone",
    "cli/test_unreachable_services.py",
    "cli/test_unwritable_trees.py",
    "cli/test_verify.py::test_digests_are_checked_by_a_tool_that_is_not_ours",
    "cli/test_wait.py::test_a_collection_waits_for_both_locks",
    "cli/test_wait.py::test_a_command_runs_once_the_holder_has_ended",
    "cli/test_wait.py::test_a_signal_ends_the_wait",
    "cli/test_wait.py::test_a_table_may_follow_the_option",
    "cli/test_wait_races.py",
    "compatibility/test_v0_1_0_later.py::test_a_pipeline_runs_every_step",
    "compatibility/test_v0_1_0_later.py::test_recorded_rows_come_into_a_table_that_has_no_column_for_them",
    "compatibility/test_v0_1_0_tables.py::test_an_ingestion_goes_on",
    "core/config/test_sources.py::test_a_file_nested_without_end_is_refused[c.yaml]",
    "core/config/test_workflow_config_fuzz.py::test_a_value_too_large_to_show_is_a_configuration_or_refused[long]",
    "documentation/test_blocks.py::test_the_code_of_a_page_runs[README.md]",
    "documentation/test_console.py::test_a_command_runs",
    "documentation/test_console.py::test_a_line_of_shell_runs",
    "documentation/test_site.py",
    "documentation/test_notebook.py::test_every_cell_runs",
    "executors/dask/test_dask_losses.py",
    "executors/dask/test_dask_runs.py",
    "executors/dask/test_equal_urls.py",
    "executors/dask/test_hosts.py",
    "executors/dask/test_slow_scheduler.py",
    "executors/processes/test_orphans.py::test_the_next_run_waits_for_the_workers_of_one_that_was_killed",
    "executors/processes/test_process_faults.py",
    "executors/processes/test_processes.py",
    "executors/processes/test_worker.py::test_a_worker_whose_run_ends_before_it_begins_ends_quietly",
    "faults/test_cancellation.py",
    "faults/test_damaged_ledger.py::test_flipped_bytes_never_make_an_archive_verified",
    "faults/test_kill.py",
    "faults/test_machine.py",
    "faults/test_machine_descriptors.py",
    "faults/test_machine_ledger.py",
    "faults/test_machine_places.py::test_a_directory_of_somebody_else_is_refused_before_a_request",
    "faults/test_machine_places.py::test_a_file_system_that_is_read_only_ends_the_run",
    "faults/test_machine_places.py::test_archives_of_somebody_else_are_recognised_and_the_rest_is_told",
    "faults/test_machine_places.py::test_what_is_ours_and_cannot_be_written_is_told_before_a_request",
    "faults/test_machine_runs.py",
    "faults/test_mix.py",
    "faults/test_power_loss.py",
    "faults/test_security.py::test_a_redirect_gives_up_tls_only_to_a_named_host_and_with_leave",
    "faults/test_security.py::test_proxies_of_the_environment_are_used_and_passwords_of_files_are_not",
    "faults/test_security.py::test_worker_processes_ask_no_host_that_is_not_named",
    "faults/test_security_commands.py::test_the_command_shows_no_secret",
    "faults/test_security_paths.py::test_a_symbolic_link_is_not_written_through",
    "faults/test_security_secrets.py::test_a_collection_shows_no_secret",
    "faults/test_security_secrets.py::test_an_error_that_is_raised_for_failures_shows_no_secret",
    "faults/test_security_secrets.py::test_worker_processes_are_told_secrets_through_their_pipe_alone",
    "faults/test_security_tls.py::test_an_authority_of_ssl_cert_file_is_trusted",
    "faults/test_security_tls.py::test_worker_processes_check_certificates_as_well",
    "faults/test_source.py::test_the_archive_alone_suffers_and_is_told_of",
    "http/test_concurrency_limit.py::test_the_limit_is_nearly_as_good_as_the_best_fixed_one",
    "http/test_exchange.py::test_nothing_is_left_of_many_requests",
    "integrations/test_backtesters.py",
    "integrations/test_dagster.py",
    "integrations/test_mcp.py::test_a_client_starts_the_command_and_gets_the_protocol_alone",
    "integrations/test_mcp.py::test_a_query_has_bounded_memory_and_time_and_the_next_one_is_answered",
    "integrations/test_mcp.py::test_no_query_is_left_of_a_server_that_ends",
    "integrations/test_page.py",
    "integrations/test_prefect.py",
    "ledger/postgres/test_unsound.py::test_a_row_that_no_run_writes_is_set_aside_once_and_the_others_are_kept",
    "matrix/test_diff.py::test_what_comes_one_way_goes_the_other",
    "packaging/test_deploy.py::test_linters_and_schemas_accept_the_files",
    "packaging/test_deploy.py::test_what_the_dockerfile_runs_makes_the_program",
    "packaging/test_distribution.py",
    "packaging/test_extras.py",
    "planning/test_calendar_plan.py::test_all_are_distinct_without_a_list",
    "planning/test_calendar_plan.py::test_five_million_archives_are_enumerated_in_flat_memory",
    "planning/test_spool.py::test_memory_does_not_grow_with_what_is_added",
    "proxies/test_collections.py",
    "proxies/test_commands.py",
    "proxies/test_failures.py",
    "proxies/test_real_runs.py",
    "rest/test_fetch_day.py::test_a_bad_answer_is_asked_for_again_and_then_refused_by_name",
    "rest/test_fetch_day.py::test_an_uneven_history_is_searched_in_few_requests",
    "rest/test_fetch_day.py::test_any_mixture_of_faults_gives_the_rows_or_a_name",
    "stores/objects/test_credentials.py::test_a_store_takes_what_the_variables_have",
    "stores/objects/test_endless_listings.py",
    "stores/objects/test_faults.py",
    "stores/objects/test_folder_scans.py::test_a_whole_tree_takes_a_request_for_each_page",
    "stores/objects/test_folder_scans.py::test_folders_and_their_scans_take_one_listing",
    "stores/objects/test_kills.py",
    "stores/objects/test_lease_model.py::TestLeases::runTest",
    "stores/objects/test_lease_race.py",
    "stores/objects/test_lost_lease.py",
    "stores/objects/test_lying_listings.py::test_no_command_takes_another_answer_for_an_empty_store",
    "stores/objects/test_lying_listings.py::test_no_command_takes_another_answer_for_the_end",
    "stores/objects/test_mirror.py",
    "stores/objects/test_servers.py::test_a_folder_may_have_more_objects_than_a_page",
    "stores/objects/test_state_kills.py",
    "tables/at_url/test_copied_lakes.py",
    "tables/at_url/test_faults.py",
    "tables/at_url/test_kills.py",
    "tables/at_url/test_lake_copy.py",
    "tables/at_url/test_late_commits.py",
    "tables/at_url/test_mending.py",
    "tables/at_url/test_other_engines.py",
    "tables/at_url/test_reading.py::test_a_query_reads_no_other_object",
    "tables/at_url/test_reading.py::test_columns_that_were_added_are_null_in_older_objects",
    "tables/at_url/test_reading.py::test_credentials_that_expire_end_a_query_with_that_error",
    "tables/at_url/test_reading.py::test_every_engine_reads_what_it_reads_in_a_directory",
    "tables/at_url/test_records.py::test_a_large_file_is_uploaded_in_parts_and_an_unfinished_one_is_none",
    "tables/at_url/test_relocation.py::test_a_relocated_lake_goes_on",
    "tables/at_url/test_relocation.py::test_an_ingestion_that_a_relocation_overtakes_names_no_other_lake",
    "tables/at_url/test_relocation.py::test_every_version_of_the_copy_names_its_own_objects",
    "tables/at_url/test_relocation_kills.py",
    "tables/at_url/test_servers.py",
    "tables/at_url/test_sweep_ages.py",
    "tables/export/test_killed.py",
    "tables/iceberg/test_durable.py",
    "tables/iceberg/test_inner_names.py::test_one_file_alone_imports_inner_names",
    "tables/iceberg/test_lost_answers.py",
    "tables/iceberg/test_two_catalogs.py",
    "tables/ingest/test_any_order.py",
    "tables/ingest/test_archive_parts.py::test_a_key_that_is_repeated_is_compared_as_a_whole",
    "tables/ingest/test_archive_parts.py::test_an_archive_that_is_refused_at_its_end_leaves_no_row_to_the_next",
    "tables/ingest/test_difference_mending.py::test_a_month_without_its_zips_is_named_and_its_rows_stay",
    "tables/ingest/test_difference_mending.py::test_a_run_that_is_killed_before_the_file_is_removed_is_made_up_for",
    "tables/ingest/test_difference_mending.py::test_a_selection_leaves_the_others_for_a_later_run",
    "tables/ingest/test_difference_mending.py::test_what_was_lost_is_compared_again",
    "tables/ingest/test_killed.py",
    "tables/ingest/test_known_archives.py::test_an_ingestion_does_not_read_what_is_known_of_other_series",
    "tables/ingest/test_mending.py::test_a_merged_month_follows_its_rules",
    "tables/ingest/test_mending.py::test_exactly_the_archives_of_a_damaged_file_are_ingested_again",
    "tables/ingest/test_mending.py::test_flipped_bits_are_mended_if_archives_are_read_again",
    "tables/ingest/test_merges_held_back.py",
    "tables/ingest/test_month_and_days.py::test_a_month_under_two_names_is_in_the_table_once",
    "tables/ingest/test_month_and_days.py::test_no_row_is_lost_of_a_month_that_lacks_a_day",
    "tables/ingest/test_month_and_days.py::test_the_day_stands_if_its_month_has_another_value",
    "tables/ingest/test_order_of_records.py::test_a_lake_of_an_earlier_version_is_gone_on_with",
    "tables/ingest/test_plain_parquet.py::test_files_hold_the_rows_of_the_table",
    "tables/ingest/test_plain_parquet.py::test_what_a_killed_run_leaves_is_removed_by_the_next",
    "tables/ingest/test_record_mending.py::test_a_day_without_its_zip_whose_times_are_lost_keeps_its_rows",
    "tables/ingest/test_record_mending.py::test_a_selection_leaves_the_others_for_a_later_run",
    "tables/ingest/test_record_mending.py::test_an_archive_without_its_zip_is_named_and_its_rows_stay",
    "tables/ingest/test_record_mending.py::test_records_and_rows_that_are_lost_together_are_an_error",
    "tables/ingest/test_record_mending.py::test_the_archives_of_a_lost_record_are_read_again",
    "tables/ingest/test_recorded_meanwhile.py",
    "tables/ingest/test_replacing.py::test_a_run_adds_one_sorted_file_to_a_partition",
    "tables/ingest/test_two_writers.py",
    "tables/lake/test_relocation_refusals.py::test_what_cannot_be_relocated_is_refused_by_name",
    "tables/live/test_rows_around_midnight.py::test_a_book_that_does_not_change_for_days_is_one_row",
    "tables/live/test_rows_around_midnight.py::test_the_rows_are_the_same_in_any_order",
    "tables/lake/test_asking.py::test_days_are_those_of_utc_wherever_the_machine_is",
    "tables/lake/test_asking.py::test_every_way_gives_the_same_rows",
    "tables/lake/test_bars.py",
    "tables/lake/test_panel.py",
    "tables/lake/test_paths.py",
    "tables/lake/test_relocation.py::test_it_may_be_killed_at_every_step",
    "tables/lake/test_relocation.py::test_other_engines_read_every_version_of_the_copy",
    "tables/lake/test_selections.py::test_a_scan_is_the_whole_table_filtered_in_the_same_way",
    "tables/lake/test_spill.py",
    "tables/lake/test_verification.py::test_a_flipped_bit_is_named_or_changes_no_answer",
    "tables/lake/test_verification.py::test_a_flipped_bit_of_a_record_is_named_or_changes_no_row",
    "tables/quality/test_seams.py::test_a_lake_without_ids_opens_and_gets_them",
    "tables/quality/test_seams.py::test_the_lake_says_the_same_in_any_order_of_ingestion",
    "tables/reading/test_fault_finder.py::test_a_spoilt_field_is_read_or_named",
    "tables/reading/test_number_forms.py::test_nothing_may_stand_before_a_number",
    "tables/test_every_type.py::test_all_types_go_into_one_lake_and_come_back",
    "tables/test_real_archives.py",
    "testing/made_up/test_generated_klines.py::test_a_day_of_seconds_has_86400_bars",
    "testing/server/test_listing.py::test_pages_have_a_thousand_keys_and_join_without_gap",
    "workflows/bench/test_bench.py::test_what_was_measured_survives_an_interruption",
    "workflows/daemon/test_daemon.py::test_memory_is_flat_over_a_thousand_runs",
    "workflows/test_acknowledged_runs.py::test_a_known_hole_is_counted_apart_and_ends_no_run_with_3",
    "workflows/test_archives_in_a_store.py::test_credentials_that_expire_end_an_ingestion_and_the_next_one_completes",
    "workflows/test_archives_in_a_store.py::test_the_tables_are_those_of_the_same_tree_in_a_directory",
    "workflows/test_archives_in_a_store.py::test_the_verdicts_are_those_of_the_same_tree_in_a_directory",
    "workflows/test_beside_collection.py::test_nothing_is_called_damaged_beside_a_running_collection",
    "workflows/test_byte_budget.py::test_runs_with_a_budget_complete_a_plan_together",
    "workflows/test_collect_and_ingest.py::test_batches_make_the_same_table",
    "workflows/test_collect_and_ingest.py::test_both_are_executed_without_a_loop",
    "workflows/test_collect_and_ingest.py::test_data_files_that_are_gone_or_cut_are_mended",
    "workflows/test_collect_and_ingest.py::test_lost_records_are_mended_by_a_batch_and_told_at_the_end",
    "workflows/test_collect_and_ingest.py::test_of_the_collected_archives_those_of_the_lakes_selection_are_ingested",
    "workflows/test_collect_and_ingest.py::test_what_is_not_verified_is_not_ingested",
    "workflows/test_composition.py::test_collect_validate_ingest_is_one_workflow_and_can_be_gone_on_with",
    "workflows/test_costs.py",
    "workflows/test_emptied_listings.py::test_a_listing_that_has_gone_empty_leaves_the_plan_incomplete",
    "workflows/test_emptied_listings.py::test_one_partition_that_has_gone_empty_is_not_made_up_for_by_the_other",
    "workflows/test_fill.py::test_runs_with_one_ledger_divide_the_series",
    "workflows/test_ingested_recordings.py::test_archives_and_recordings_come_to_the_same_in_any_order",
    "workflows/test_ingested_recordings.py::test_every_kind_of_stream_gets_into_its_table_once",
    "workflows/test_ingested_recordings.py::test_records_of_recordings_that_are_lost_are_made_again",
    "workflows/test_ingested_segments.py::test_a_filled_day_gives_way_to_its_archive",
    "workflows/test_ingested_segments.py::test_rows_that_the_archive_lacks_stay",
    "workflows/test_ingestion_elsewhere.py",
    "workflows/test_ingestion_into_store.py",
    "workflows/test_listed_runs.py::test_many_series_are_compared_in_batches",
    "workflows/test_micro_batches.py::test_files_snapshots_and_metadata_stay_in_bounds",
    "workflows/test_micro_batches.py::test_one_that_is_killed_is_completed_by_the_next",
    "workflows/test_micro_batches.py::test_tables_that_other_machines_may_write_to_stay_in_bounds",
    "workflows/test_micro_batches.py::test_what_others_made_stays",
    "workflows/test_page_report.py::test_what_checks_have_found_in_the_lake_is_summed_up",
    "workflows/test_pages_in_browser.py",
    "workflows/test_plan_and_collect.py::test_any_mixture_of_states_is_planned_as_it_is_collected",
    "workflows/test_plan_and_collect.py::test_each_state_is_planned_as_it_is_collected",
    "workflows/test_questions.py::test_bench_measures_each_setting",
    "monitoring/test_dashboard.py::test_every_expression_finds_what_a_run_has_done",
    "monitoring/test_silent_source.py",
    "packaging/test_plurals.py::test_no_message_has_a_plural_behind_a_number_that_may_be_one",
    "workflows/test_prometheus.py",
    "workflows/test_real_archives.py",
    "workflows/test_recorded_runs.py::test_a_run_with_a_listing_is_stored_with_its_days_and_filters",
    "workflows/test_recorded_runs.py::test_worker_processes_store_one_run",
    "workflows/test_recording_into_tables.py",
    "workflows/test_refused_versions.py::test_large_versions_are_refused_and_healed_in_the_same_way",
    "workflows/test_replaced_while_read.py::test_a_month_waits_for_a_day_that_is_replaced",
    "workflows/test_replaced_while_read.py::test_the_version_before_stays_with_its_digest",
    "workflows/test_source_down.py",
    "workflows/test_tenants.py::test_a_store_that_refuses_one_tenant_does_not_end_the_run_of_the_other",
    "workflows/test_verification_elsewhere.py",
    "workflows/wiring/test_share.py::test_a_shared_run_asks_no_more_at_once_than_it_may",
)

#: Exceptions, as `make test` alone measures what is covered.
QUICK = (
    "attack/test_bodies.py",
    "proxies/test_failures.py::test_a_silent_socks_proxy_times_out",
    "proxies/test_failures.py::test_a_socks_proxy_that_forbids_it_is_a_failure",
    "proxies/test_failures.py::test_a_proxy_that_is_down_is_named[socks5-http://plain.example.test-1]",
    "proxies/test_failures.py::test_a_wrong_user_is_refused[-http-http://plain",
    "executors/processes/test_processes.py::test_a_run_in_a_thread_has_workers_too",
    "tables/at_url/test_faults.py::test_an_answer_that_is_lost_is_no_second_commit",
    "workflows/test_ingested_segments.py::test_a_filled_day_gives_way_to_its_archive[spot klines",
)


def pytest_configure(config: pytest.Config) -> None:
    """Keep the folders of the short tests in memory."""
    keep_in_memory(config)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect no garbage while tests are collected, nor look through all of them again in each.

    Nothing of them is garbage before the end: to look for it took a third of their collection.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_sessionfinish() -> None:
    """Let what the collection has made be destroyed at the end."""
    gc.unfreeze()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a file, unless it is named, none of whose tests are asked for.

    For `make test` that is one whose tests all take long, and for the long tests one that has none.
    """
    folder = Path(__file__).parent
    asked = config.option.markexpr
    if asked not in {"slow", "not slow"} or folder not in collection_path.parents:
        return None
    name = collection_path.relative_to(folder).as_posix()
    is_slow = name.startswith(SLOW)
    if asked == "slow":
        is_needed = is_slow or any(each.startswith(name) for each in SLOW)
    else:
        is_needed = not is_slow or any(each.startswith(name) for each in QUICK)
    places = (config.invocation_params.dir / each.partition("::")[0] for each in config.args)
    return True if not is_needed and collection_path not in places else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes long."""
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        if name.startswith(SLOW) and not name.startswith(QUICK):
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the servers and programs that tests were skipped for, at the end."""
    if names := absent():
        text = f"Not installed, and needed by tests: {', '.join(names)}. Run `make servers`."
        terminalreporter.write_line(text, yellow=True)


@pytest.fixture(autouse=True)
def _no_configuration_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see no CRYPTO_LAKEHOUSE_ variable of the machine, and no proxy."""
    import os

    for name in list(os.environ):
        if name.startswith("CRYPTO_LAKEHOUSE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """What a command sets up for its log ends with the test, as its standard error does."""
    logger = logging.getLogger("crypto_lakehouse")
    before = logger.handlers.copy(), logger.level, logger.propagate
    yield
    logger.handlers, logger.level, logger.propagate = before


@pytest.fixture
def uncovered_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure no coverage in processes that a test starts, as of such that are killed."""
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)


class SleepRecorder:
    """A sleep that takes no time and remembers what was asked of it."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def sleeps() -> SleepRecorder:
    """What back-off asked to wait, in seconds."""
    return SleepRecorder()


@pytest.fixture
def retry(sleeps: SleepRecorder) -> RetryPolicy:
    """Back-off that takes no time; three retries."""
    return RetryPolicy(max_retries=3, sleep=sleeps)
