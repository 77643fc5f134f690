"""
The threshold, before any sampler
=================================

What SMOTE does to a model is mostly to move its threshold. F1 of a forest at every threshold,
trained on the table as it is and after SMOTE: the curve is moved, its top is not higher.
"""

import matplotlib.pyplot as plt
import numpy as np
from plane import table
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, f1_score
from sklearn.model_selection import train_test_split

from dsmote import SMOTE

X, y = table(rows=20_000, weights=(0.03, 0.97))
y = 1 - y  # the rare class is 1
X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
thresholds = np.linspace(0.02, 0.98, 49)
_, axis = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for name, (X_fit, y_fit) in {
    "as it is": (X, y),
    "after SMOTE": SMOTE(random_state=0).fit_resample(X, y),
}.items():
    forest = RandomForestClassifier(50, min_samples_leaf=5, random_state=0).fit(X_fit, y_fit)
    scores = forest.predict_proba(X_test)[:, 1]
    precision = average_precision_score(y_test, scores)
    f1 = [f1_score(y_test, scores > threshold) for threshold in thresholds]
    axis.plot(thresholds, f1, label=f"{name}: average precision {precision:.3f}")
axis.axvline(0.5, color="#b3b9c1", linewidth=1)
axis.set_xlabel("threshold")
axis.set_ylabel("F1")
axis.legend(frameon=False)
