import numpy as np
from keras.callbacks import EarlyStopping, TerminateOnNaN
from keras.layers import BatchNormalization, Dense
from keras.models import Sequential
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_class_weight

X, y = make_classification(n_samples=700, n_features=9, n_informative=5, weights=[0.9], flip_y=0.02, random_state=10)
X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.3, stratify=y, random_state=10)
w = compute_class_weight('balanced', classes=np.unique(y_tr), y=y_tr)
weights = {i: float(round(each, 3)) for i, each in enumerate(w)}
print('class weights', weights)

model = Sequential()
model.add(Dense(12, activation='relu', input_dim=9))
model.add(BatchNormalization(momentum=0.9))
model.add(Dense(1, activation='sigmoid'))
model.compile(optimizer='adam', loss='binary_crossentropy', metrics=['AUC'])
es = EarlyStopping(monitor='val_loss', mode='min', patience=2, min_delta=0.002, restore_best_weights=True, verbose=1)
model.fit(X_tr, y_tr, validation_data=(X_va, y_va), class_weight=weights, epochs=10, batch_size=35,
          callbacks=[es, TerminateOnNaN()], verbose=0)
