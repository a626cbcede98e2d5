"""Metrics as a scraper reads them."""

from prometheus_client.parser import text_string_to_metric_families


class Samples:
    """What an exposition says. Raises what the parser does for one that is not valid."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        self.names = [family.name for family in families]
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def __len__(self) -> int:
        return len(self._values)

    def value(self, name: str, **labels: str) -> float:
        """Tell a sample; 0 if there is none."""
        return self._values.get((f"gql_app_{name}", frozenset(labels.items())), 0.0)

    def labels(self, name: str, label: str) -> set[str]:
        """Tell the values of a label."""
        return {
            dict(labels)[label]
            for found, labels in self._values
            if found == f"gql_app_{name}" and label in dict(labels)
        }
