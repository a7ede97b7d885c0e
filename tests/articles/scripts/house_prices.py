import torch
import torch.nn as nn
import torch.optim as optim
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)

X_train, y_train = torch.tensor(X_train), torch.tensor(y_train).unsqueeze(1)
X_test, y_test = torch.tensor(X_test), torch.tensor(y_test).unsqueeze(1)
mean, std = y_train.mean(), y_train.std()

model = nn.Sequential(
    nn.Linear(X_train.shape[1], 10),
    nn.ReLU(),
    nn.Linear(10, 10),
    nn.ReLU(),
    nn.Linear(10, 1),
).double()

num_epochs = 25
criterion = nn.MSELoss()
optimizer = optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-2)
scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_epochs)

train_loader = DataLoader(TensorDataset(X_train, (y_train - mean) / std), batch_size=32, shuffle=True)
for epoch in range(num_epochs):
    for X, y in train_loader:
        loss = criterion(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scheduler.step()

model.eval()
with torch.no_grad():
    y_pred = model(X_test) * std + mean
    r2 = 1 - ((y_test - y_pred) ** 2).sum() / ((y_test - y_test.mean()) ** 2).sum()
    r2 = r2.item()
print('R2 score: %.4f' % r2)
