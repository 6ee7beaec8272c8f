"""DICOM in: associations, admission, the split of patients, and forgetting a study."""
