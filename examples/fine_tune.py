"""Train the shipped weights further on scikit-learn's digits, which other people wrote."""

import lenet

digits = lenet.data.load_digits()
classifier = lenet.LeNetClassifier.from_pretrained("mnist", max_iter=10, distortions=True, random_state=0)
print(f"as shipped    {classifier.score(digits.X_test, digits.y_test):.2%}")
classifier.fit(digits.X_train, digits.y_train)
print(f"after fitting {classifier.score(digits.X_test, digits.y_test):.2%}")
