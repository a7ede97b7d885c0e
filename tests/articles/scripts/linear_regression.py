import torch
import torch.nn as nn
import torch.optim as optim

torch.manual_seed(0)

# y = 3x + 2 + noise
x = torch.rand(100, 1) * 2 - 1
y = 3 * x + 2 + 0.1 * torch.randn(x.size())


class LinearRegression(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def forward(self, x):
        return self.linear(x)


model = LinearRegression()
criterion = nn.MSELoss()
optimizer = optim.SGD(model.parameters(), lr=0.1)

num_epochs = 300
for epoch in range(num_epochs):
    y_pred = model(x)
    loss = criterion(y_pred, y)

    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

    if (epoch + 1) % 100 == 0:
        print(f'Epoch [{epoch + 1}/{num_epochs}], Loss: {loss.item():.4f}')

[w, b] = model.parameters()
slope = w.item()
intercept = b[0].item()
print(f'y = {slope:.3f}x + {intercept:.3f}')
