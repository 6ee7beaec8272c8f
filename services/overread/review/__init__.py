"""The room where a radiologist answers: worklist, verdicts, adjudication, REST API and the reader's page."""
