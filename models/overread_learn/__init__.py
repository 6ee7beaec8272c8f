"""The science of Overread: patches in, an order of reading and a better network out.

It knows no broker, no registry, no DICOM and no clock, and never imports ``overread``. Only ``nets``, ``finetune``,
``depth``, ``export`` and an experiment's runs import torch; everything that inference needs runs on NumPy, OpenCV and
ONNX Runtime.

==================  ==================================================================================
``applications``    one TOML per CAD application: geometry, normalisation, learning parameters
``patches``         image and candidate to patches; the same code for training and for inference
``acquisition``     which candidate to ask about next: AIFT, ACFT and what came after them, by one grammar of names
``nets``            classifiers by torchvision name, ImageNet weights by file or by download
``finetune``        the continual step: M(t-1) and the labels give M(t)
``depth``           how much of a network to fine-tune, and the last blocks of it on cached features
``evaluate``        ROC, PR, FROC, calibration, learning curves; intervals that respect patients
``export``          ONNX, and its parity with PyTorch
``scoring``         ONNX Runtime over candidates; what the inference room runs
``experiment``      strategies compared on candidates whose labels are known: curves, labels saved, a report
``bench``           measurements, each a command of its own
``cli``             the program ``overread-learn``
``files``           files that appear whole or not at all
``printing``        how both programs print: tables for people, JSON for machines
==================  ==================================================================================
"""
