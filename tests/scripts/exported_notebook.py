#!/usr/bin/env python
# coding: utf-8

# In[1]:

get_ipython().run_line_magic('matplotlib', 'inline')
import numpy as np
import matplotlib.pyplot as plt
from tensorflow.keras.layers import *
from tensorflow.keras.models import *

# In[2]:

x = np.random.RandomState(3).rand(256, 1) * 4
y = np.exp(-x)
plt.figure(figsize=(4, 3)); plt.plot(x, y, '.')
plt.show()

# In[17]:

model = Sequential([Dense(10, activation='relu', input_shape=(1,)), Dense(1)])
model.compile('adam', 'mse')
history = model.fit(x, y, batch_size=8, epochs=4, shuffle=True)

# In[18]:

get_ipython().system('ls')
