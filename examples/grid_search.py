"""Search for a learning rate and a weight decay with five-fold cross-validation on scikit-learn's digits.

Two processes run at a time. Each uses one thread, so they do not oversubscribe two cores.
"""

import time

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from lenet import LeNetClassifier

if __name__ == "__main__":  # the workers import this file
    X, y = load_digits(return_X_y=True)  # 8x8 pixels from 0 to 16; the classifier enlarges and scales them
    grid = {"learning_rate_init": [0.1, 0.2], "alpha": [0.0, 1e-4]}
    began = time.perf_counter()
    search = GridSearchCV(LeNetClassifier(random_state=0, max_iter=60), grid, cv=5, n_jobs=2).fit(X, y)
    print(f"{time.perf_counter() - began:.0f} s for {len(search.cv_results_['params'])} candidates with five folds")
    for parameters, accuracy in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
        print(f"{accuracy:.2%}  {parameters}")
    print(f"best: {search.best_params_}")
