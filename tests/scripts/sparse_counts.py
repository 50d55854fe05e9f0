import numpy as np
from keras.layers import Dense
from keras.models import Sequential
from sklearn.feature_extraction.text import CountVectorizer

words = {"sport": "ball goal match team run win", "kitchen": "salt pan oil bread soup win", "money": "bank rate coin tax run oil"}
random = np.random.RandomState(12)
texts, labels = [], []
for row in range(300):
    topic = random.choice(list(words))
    texts.append(" ".join(random.choice(words[topic].split(), 4)))
    labels.append(topic)

X = CountVectorizer().fit_transform(texts)      # scipy.sparse
X.sort_indices()
y = np.array([sorted(words).index(label) for label in labels])
print(type(X), X.shape)

clf = Sequential()
clf.add(Dense(3, activation="softmax", input_dim=X.shape[1], bias_initializer="zeros", kernel_initializer="random_normal"))
clf.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
clf.fit(X, y, epochs=5, batch_size=15, verbose=2)
