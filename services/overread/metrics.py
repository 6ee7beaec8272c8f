"""What Prometheus scrapes. No label ever holds a patient's, study's or reader's name."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

handled = Counter("overread_events_handled", "Events whose effect is committed", ["room"])
dead_letters = Counter("overread_dead_letters", "Events set aside for ever", ["room"])
parked = Counter("overread_parked", "Events set aside until a version that knows their words", ["room"])
retries = Counter("overread_retries", "Waits for something that was away", ["room"])
relayed = Counter("overread_relayed", "Events that the relay brought to the broker")
relay_refused = Counter("overread_relay_refused", "Events that the broker will never take, set aside")

instances = Counter("overread_instances", "C-STORE requests by DICOM status", ["status"])
associations = Gauge("overread_associations", "Open DICOM associations")

candidates_found = Counter("overread_candidates", "Candidates found", ["source"])
set_aside = Counter("overread_instances_set_aside", "Instances that could not be used", ["reason"])

serving = Gauge(
    "overread_serving_model",
    "1 for the model that scores now",
    ["version", "sha256", "provider", "precision", "cleared"],
)
scored = Counter("overread_candidates_scored", "Candidates scored", ["why"])
scoring_seconds = Histogram("overread_scoring_seconds", "Seconds to cut and score one candidate")
swaps_refused = Counter("overread_model_swaps_refused", "Models that were not loaded", ["reason"])

corrections = Counter("overread_corrections", "Accepted corrections", ["verdict"])
refusals = Counter("overread_corrections_refused", "Refused corrections", ["reason"])

unread = Gauge("overread_pool_unread", "Unread candidates of train patients")
rounds = Counter("overread_rounds", "Rounds by outcome", ["outcome"])
gates = Counter("overread_gates", "Gate answers", ["gate", "answer"])
round_epoch = Gauge("overread_round_epoch", "Epochs done in the round under way")
drift_auc = Gauge("overread_drift_auc", "Validation AUCs of the last drift check: continued, restarted", ["network"])
