"""What the specs for texts are measured against, on the same files (see make.py):

    python examples/text/baselines.py tweets FOLDER/tweets
    python examples/text/baselines.py tales FOLDER/tales

tweets: logistic regression on TF-IDF of words and pairs of words, its settings chosen by
cross-validation in the training part (pip install scikit-learn==1.9.0). tales: a 5-gram model of
characters with interpolated Kneser-Ney smoothing (Chen and Goodman 1999, section 3).
"""

import collections
import csv
import math
import pathlib
import sys

ORDER = 5
UNKNOWN = "\0"


def tweets(folder):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline

    def read(part):
        with open(folder / f"{part}.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [row["text"] for row in rows], [row["author"] for row in rows]

    model = GridSearchCV(
        Pipeline([("tfidf", TfidfVectorizer(ngram_range=(1, 2))),
                  ("regression", LogisticRegression(max_iter=1000))]),
        {"tfidf__sublinear_tf": [False, True], "tfidf__min_df": [1, 2],
         "regression__C": [1, 10, 100, 1000]}, cv=5)
    model.fit(*read("train"))
    print(model.best_params_)
    print(f"accuracy {model.score(*read('test')):.4f}")


class KneserNey:
    """Counts of the highest order; of lower ones, in how many contexts a sequence occurs. Each order
    has a discount of its own, n1 / (n1 + 2 n2)."""

    def __init__(self, text, order):
        self.order = order
        self.tables = []  # by order from 1: context -> {next: count}
        sequences = collections.Counter(text[i:i + order] for i in range(len(text) - order + 1))
        for _ in range(order):
            table = collections.defaultdict(dict)
            for sequence, count in sequences.items():
                table[sequence[:-1]][sequence[-1]] = count
            counts = collections.Counter(sequences.values())
            discount = counts[1] / (counts[1] + 2 * counts[2]) if counts[1] else 0.5
            sums = {context: sum(after.values()) for context, after in table.items()}
            self.tables.insert(0, (table, sums, discount))
            sequences = collections.Counter(sequence[1:] for sequence in sequences)

    def probability(self, context, token, vocabulary):
        probability = 1 / vocabulary
        for length in range(min(self.order - 1, len(context)) + 1):
            table, sums, discount = self.tables[length]
            after = table.get(context[len(context) - length:])
            if after is None:
                break
            total = sums[context[len(context) - length:]]
            probability = (max(after.get(token, 0) - discount, 0)
                           + discount * len(after) * probability) / total
        return probability


def tales(folder):
    train, test = ((folder / f"{part}.txt").read_text("utf-8") for part in ("train", "test"))
    characters = set(train)
    # As the tokenizer has it: a character that training never saw is one unknown token.
    test = "".join(c if c in characters else UNKNOWN for c in test)
    model = KneserNey(train, ORDER)
    loss = 0
    for i in range(1, len(test)):
        context = test[max(0, i - ORDER + 1):i]
        loss -= math.log(model.probability(context, test[i], len(characters) + 1))
    loss /= len(test) - 1
    print(f"loss {loss:.4f} a character, perplexity {math.exp(loss):.3f}")


def main():
    {"tweets": tweets, "tales": tales}[sys.argv[1]](pathlib.Path(sys.argv[2]))


if __name__ == "__main__":
    main()
