import torch
import torch.nn as nn
import torch.optim as optim
from torch.utils.data import DataLoader, Dataset

input_size = 10
hidden_size = 32
output_size = 10
learning_rate = 0.003
num_epochs = 15


class RNN(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.rnn = nn.RNN(input_size, hidden_size, batch_first=True)
        self.fc = nn.Linear(hidden_size, output_size)

    def forward(self, x):
        h0 = torch.zeros(1, self.hidden_size)
        out, _ = self.rnn(x, h0)
        out = self.fc(out[:, -1, :])
        return out


class SequenceDataset(Dataset):
    def __init__(self, sequences, labels):
        self.sequences = torch.tensor(sequences, dtype=torch.float32)
        self.labels = torch.tensor(labels, dtype=torch.long)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, idx):
        return self.sequences[idx], self.labels[idx]


torch.manual_seed(0)
device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')

train_loader = DataLoader(SequenceDataset(x_train, y_train), batch_size=32, shuffle=True)

model = RNN(input_size, hidden_size, output_size).to(device)
criterion = nn.CrossEntropyLoss()
optimizer = optim.Adam(model.parameters(), lr=learning_rate)

for epoch in range(num_epochs):
    total_loss = 0
    for x, y in train_loader:
        x, y = x.to(device), y.to(device)
        output = model(x)
        loss = criterion(output, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
    print("Epoch: %d, Loss: %.4f" % (epoch + 1, total_loss / len(train_loader)))

with torch.no_grad():
    output = model(torch.tensor(x_test, dtype=torch.float32).to(device))
    prediction = output.argmax(dim=1).cpu().numpy()

accuracy = (prediction == y_test).mean()
print("Accuracy:", accuracy)
