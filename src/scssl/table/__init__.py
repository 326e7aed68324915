"""Result rows as tables: statistics, ranks, advice, figures and the report. Knows rows only: no method, no task."""
