import keras
from keras import layers
from sklearn.datasets import make_multilabel_classification

# 每个样本可以有多个标签
x, y = make_multilabel_classification(n_samples=360, n_features=15, n_classes=6, n_labels=2, random_state=3)

def 模型():
    m = keras.Sequential()
    m.add(layers.Dense(20, activation="hard_sigmoid"))
    m.add(layers.Dense(6, activation="sigmoid"))
    m.compile(loss="binary_crossentropy", optimizer=keras.optimizers.AdamW(0.01, weight_decay=0.05), metrics=["accuracy"])
    return m

模型().fit(x, y, validation_split=0.1, epochs=5, batch_size=27, verbose=0)   # 训练
