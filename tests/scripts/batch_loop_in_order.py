import numpy as np, keras
from keras.models import Sequential
from keras.layers import Dense

np.random.seed(0)
N=250; B=32
a=np.random.rand(N,4)*2-1
b=(a[:,0]*a[:,1]+a[:,2]).reshape(-1,1)

model=Sequential([keras.Input(shape=(4,)),Dense(20,activation='tanh'),Dense(1)])
model.compile('sgd','mse')

for ep in range(6):
	total=0
	for i in range(N//B):      # 7 whole batches, the rest is thrown away
		total+=float(model.train_on_batch(a[i*B:(i+1)*B],b[i*B:(i+1)*B]))
	print('epoch',ep,'loss',total/(N//B))
