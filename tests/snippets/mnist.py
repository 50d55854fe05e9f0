# From the question https://datascience.stackexchange.com/questions/38604, by its author.
# Licence: CC BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/, not this repository's.
# Changed: reformatted; these lines added.
input_nodes = 784
hl1_nodes = 64
output_nodes = 1
from keras.datasets import mnist
(X_train, y_train), (X_test, y_test) = mnist.load_data()
X_train_reshaped = X_train.reshape(X_train.shape[0],784)
model = Sequential()
model.add(Dense(hl1_nodes, activation='relu', input_shape=(input_nodes,)))
model.add(Dense(output_nodes, activation = 'sigmoid'))
model.compile(optimizer='adam', loss='binary_crossentropy', metrics=['accuracy'])
history = model.fit(x=X_train_reshaped, y=y_train, validation_split=0.33, verbose=1,epochs=10)
