"""Write the data of the two examples, which scikit-learn ships, to data/own/: `python examples/data.py`."""

from pathlib import Path

from sklearn.datasets import load_breast_cancer, load_diabetes

FOLDER = Path("data/own")


def main() -> None:
    """Write cancer.csv, with a column `malignant`, and diabetes.csv, with a column `progression`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    cancer = load_breast_cancer(as_frame=True).frame
    cancer["malignant"] = 1 - cancer.pop("target")
    cancer.to_csv(FOLDER / "cancer.csv", index=False)
    diabetes = load_diabetes(as_frame=True, scaled=False).frame
    diabetes["sex"] = diabetes["sex"].map({1: "first", 2: "second"})
    diabetes.rename(columns={"target": "progression"}).to_csv(FOLDER / "diabetes.csv", index=False)


if __name__ == "__main__":
    main()
