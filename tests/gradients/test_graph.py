"""Recorded graphs: edges, values and gradients against hand-made derivatives, and the drawing."""

import xml.etree.ElementTree as ET

import pytest
import torch
from torch import nn

from ravine.core.errors import ModelError, SettingError
from ravine.gradients._graph import expression_graph, model_graph
from ravine.gradients._graph_layout import layered


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


def rows(graph):
    columns = ["source", "target", "value", "gradient"]
    return [tuple(row) for row in graph.frame()[columns].to_numpy().tolist()]


def test_a_tensor_used_twice_has_a_gradient_per_use():
    # f = x^2 y + x: through the product 2 x y = 12 (6 from each factor x), directly 1.
    graph = expression_graph(lambda x, y: x * x * y + x, x=3.0, y=2.0)
    assert rows(graph) == [
        ("x", "mul", 3.0, 6.0),
        ("x", "mul", 3.0, 6.0),
        ("mul", "mul", 9.0, 2.0),
        ("y", "mul", 2.0, 9.0),
        ("mul", "add", 18.0, 1.0),
        ("x", "add", 3.0, 1.0),
        ("add", "result", 21.0, 1.0),
    ]


def test_an_own_autograd_function_is_one_node():
    graph = expression_graph(lambda x, y: Square.apply(x * y) * x, x=-2.0, y=5.0)
    assert rows(graph) == [
        ("x", "mul", -2.0, 200.0),
        ("y", "mul", 5.0, -80.0),
        ("mul", "Square", -10.0, 40.0),
        ("Square", "mul", 100.0, -2.0),
        ("x", "mul", -2.0, 100.0),
        ("mul", "result", -200.0, 1.0),
    ]


def test_an_own_autograd_function_of_leaves_has_gradients():
    graph = expression_graph(lambda x: -Square.apply(x), x=3.0)
    assert rows(graph) == [
        ("x", "Square", 3.0, -6.0),
        ("Square", "neg", 9.0, -1.0),
        ("neg", "result", -9.0, 1.0),
    ]


def test_operations_in_place_show_the_value_of_their_time():
    def function(x):
        y = 2 * x
        y += 1
        return y * 4

    assert rows(expression_graph(function, x=3.0)) == [
        ("x", "* 2", 3.0, 8.0),
        ("* 2", "+ 1", 6.0, 4.0),
        ("+ 1", "* 4", 7.0, 4.0),
        ("* 4", "result", 28.0, 1.0),
    ]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: 1 / x, "1 /"),
        (lambda x: x / 4, "/ 4"),
        (lambda x: 3 - x, "3 -"),
        (lambda x: torch.sub(3, x), "3 -"),
        (lambda x: x - 3, "- 3"),
        (lambda x: 0.5 + x, "+ 0.5"),
        (lambda x: 2**x, "2 **"),
        (lambda x: x**2, "** 2"),
        (lambda x: x.clamp(0, 1), "clamp"),
        (lambda x: (x * torch.ones(1, 1)).T.sum(), "Permute"),
    ],
)
def test_an_operation_is_drawn_with_its_number(function, name):
    assert name in set(expression_graph(function, x=0.5).frame()["target"])


def test_lists_of_tensors_and_what_needs_no_gradient():
    graph = expression_graph(lambda x, c: torch.stack([x, c]).sum(), x=3.0, c=torch.tensor(4.0))
    (x, *_), (c, *_) = rows(graph)[0], rows(graph)[1]
    assert (x, c) == ("x", "c")
    assert graph.frame()["gradient"].isna().tolist() == [False, True, False, False]


def test_gradients_of_a_models_weights_are_autograds():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    before = {name: t.clone() for name, t in model.state_dict().items()}
    batch = torch.randn(8, 4), torch.randint(0, 3, (8,))
    table = model_graph(model, nn.CrossEntropyLoss(), batch).frame()
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
    found = table.set_index("source")["gradient"]
    for name, weight in model.named_parameters():
        assert found[name] == pytest.approx(float(weight.grad.norm()), rel=1e-5, abs=1e-7)
    assert {"1.running_mean", "1.running_var", "input"} <= set(table["source"])
    assert "constant" not in set(table["source"])


def test_the_drawing_is_svg_with_every_node_and_label(tmp_path):
    graph = expression_graph(lambda x, y: (x + y).exp() * x, x=0.5, y=-1.0)
    path = graph.save(tmp_path / "graph.svg")
    root = ET.parse(path).getroot()
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"x", "y", "add", "exp", "mul", "result"} <= set(texts)
    paths = root.findall("{http://www.w3.org/2000/svg}path")
    assert len(paths) == len(graph.record.edges) == 6
    for edge in graph.record.edges:
        assert f"{float(edge.value):.4g}" in texts and f"{float(edge.gradient):.4g}" in texts


def test_a_name_cannot_break_the_drawing():
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("<b>&", nn.Linear(2, 1))
    svg = model_graph(model, nn.MSELoss(), (torch.ones(1, 2), torch.ones(1, 1))).svg()
    assert "<b>&.weight" not in svg
    ET.fromstring(svg)


def test_edges_lead_to_the_right_and_no_two_nodes_share_a_place():
    edges = [(0, 3), (1, 3), (3, 4), (0, 5), (4, 5), (2, 6), (5, 6), (1, 6)]
    layout = layered(list(range(7)), edges)
    assert all(layout.column[a] < layout.column[b] for a, b in edges)
    places = [(layout.column[n], layout.row[n]) for n in range(7)]
    for i, (a, b) in enumerate(edges):
        assert len(layout.route[i]) == layout.column[b] - layout.column[a] - 1
        places += [(layout.column[a] + 1 + k, row) for k, row in enumerate(layout.route[i])]
    assert len(set(places)) == len(places)


def residual():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 6)
            self.a_rather_long_name_of_a_layer = nn.Linear(6, 6)

        def forward(self, x):
            h = torch.relu(self.first(x)) + self.a_rather_long_name_of_a_layer(x)
            return h * torch.sigmoid(h) * x + h + 0.5 * x

    torch.manual_seed(0)
    return model_graph(Residual(), nn.MSELoss(), (torch.randn(3, 6), torch.randn(3, 6)))


def box(element, width, above, below):
    x, y = float(element.get("x")), float(element.get("y"))
    return x - width / 2, y - above, x + width / 2, y + below


@pytest.mark.parametrize(
    "graph",
    [
        residual,
        lambda: expression_graph(lambda x, y: x * x * y + x * torch.sin(x) + y / x, x=2.0, y=-1.0),
    ],
    ids=["residual", "expression"],
)
def test_no_number_lies_on_another_or_on_a_node(graph):
    svg = ET.fromstring(graph().svg())
    space = "{http://www.w3.org/2000/svg}"
    numbers = [t for t in svg.iter(f"{space}text") if t.get("text-anchor") and t.get("class")]
    # 6 pixels a letter and 12 of height are what 12-pixel letters take.
    boxes = [box(t, 6 * len(t.text), 9, 3) for t in numbers]
    for rect in svg.findall(f"{space}rect[@class='node']"):
        x, y, width, height = (float(rect.get(k)) for k in ("x", "y", "width", "height"))
        boxes.append((x, y, x + width, y + height))
    for i, (a, b, c, d) in enumerate(boxes):
        for e, f, g, h in boxes[:i]:
            assert c <= e or g <= a or d <= f or h <= b
    page = svg.find(f"{space}rect[@class='page']")
    ends = float(page.get("width")), float(page.get("height"))
    assert all(a >= 0 and b >= 0 and c <= ends[0] and d <= ends[1] for a, b, c, d in boxes)


def test_what_cannot_be_drawn_is_said(tmp_path):
    with pytest.raises(ModelError, match="scalar"):
        expression_graph(lambda x: torch.stack([x, x]), x=1.0)
    with pytest.raises(ModelError, match="requires_grad"):
        expression_graph(lambda x: x * 2, x=torch.tensor(1.0))
    with pytest.raises(ModelError, match="more than the 150"):
        expression_graph(lambda x: sum(x * i for i in range(200)), x=1.0)
    with pytest.raises(ModelError, match="backward pass fails"):
        expression_graph(lambda x: x.exp().mul_(2) + x.exp().exp_().add_(1), x=1.0)
    graph = expression_graph(lambda x: x * 2, x=1.0)
    with pytest.raises(SettingError, match=r"ending in \.svg"):
        graph.save(tmp_path / "graph.png")
    with pytest.raises(SettingError, match="does not exist"):
        graph.save(tmp_path / "none" / "graph.svg")
    (tmp_path / "taken.svg").mkdir()
    with pytest.raises(SettingError, match=r"taken\.svg cannot be written"):
        graph.save(tmp_path / "taken.svg")
