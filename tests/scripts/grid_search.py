import numpy
from keras.models import Sequential
from keras.layers import Dense
from keras.wrappers.scikit_learn import KerasClassifier
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV

def create_model(optimizer='rmsprop', neurons=1):
    model = Sequential()
    model.add(Dense(neurons, input_dim=6, kernel_initializer='uniform', activation='relu'))
    model.add(Dense(1, kernel_initializer='uniform', activation='sigmoid'))
    model.compile(loss='binary_crossentropy', optimizer=optimizer, metrics=['accuracy'])
    return model

numpy.random.seed(7)
X, Y = make_classification(240, 6, n_informative=4, random_state=7)
model = KerasClassifier(build_fn=create_model, epochs=4, verbose=0)
grid = GridSearchCV(estimator=model, param_grid={'neurons': [10, 30], 'optimizer': ['adagrad'], 'batch_size': [8]}, cv=3)
result = grid.fit(X, Y)
print("Best: %f using %s" % (result.best_score_, result.best_params_))
