"""One function for each operator; its signature says what the operator takes."""
