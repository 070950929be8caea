"""Save a fitted classifier: with joblib for yourself, with skops for others.

A joblib file is a pickle: loading it can run any code, so load only your own. skops creates only the types that you
list as trusted.
"""

import tempfile
from pathlib import Path

import joblib
import numpy as np
import skops.io

import lenet

digits = lenet.data.load_digits()
classifier = lenet.LeNetClassifier.from_pretrained("mnist", max_iter=5, random_state=0)
classifier.fit(digits.X_train, digits.y_train)
expected = classifier.predict_proba(digits.X_test)

with tempfile.TemporaryDirectory() as folder:
    joblib.dump(classifier, Path(folder, "classifier.joblib"))
    skops.io.dump(classifier, Path(folder, "classifier.skops"))
    loaded = {
        "joblib": joblib.load(Path(folder, "classifier.joblib")),  # written above # nosemgrep: no-pickles
        "skops": skops.io.load(Path(folder, "classifier.skops"), trusted=lenet.interop.SKOPS_TRUSTED),
    }
for name, again in loaded.items():
    print(f"{name}: the same to the bit:", np.array_equal(again.predict_proba(digits.X_test), expected))
