"""The run pages (`mundap serve --studio`): runs, curves, data, comparisons and people's judgement, all read from files."""
