"""DICOM: what arrives, what is read from it, and what is sent. Knows no room.

Values that break the rules of their VR are judged where they are used. pydicom's own warnings about them quote the
value, which may be a name or a number of a patient, and are therefore off.
"""

import pydicom.config

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
