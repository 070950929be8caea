"""Search for a learning rate on the workers of a Dask cluster, here two processes on this machine.

To use another cluster, replace the local one by `Client("tcp://head:8786")`. lenet must be installed on its workers.
"""

import joblib
from distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from lenet import LeNetClassifier

if __name__ == "__main__":  # the workers import this file
    X, y = load_digits(return_X_y=True)
    grid = {"learning_rate_init": [0.1, 0.2]}
    search = GridSearchCV(LeNetClassifier(random_state=0, max_iter=100), grid, cv=3)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**options) as cluster, Client(cluster), joblib.parallel_config("dask"):
        search.fit(X, y)
    for parameters, accuracy in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
        print(f"{accuracy:.2%}  {parameters}")
    print(f"best: {search.best_params_}")
