"""The page that shows the network at work: one HTML file, and the model as the JSON document that it reads."""

from lenet.serving.page.document import model_document
from lenet.serving.page.html import MARK, content_security_policy, page_html

__all__ = ["MARK", "content_security_policy", "model_document", "page_html"]
