"""The command line: a file a verb. Nothing here is imported before its verb is called, so that `--help` stays fast."""
