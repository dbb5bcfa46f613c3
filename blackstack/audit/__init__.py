"""Know before you run: what of an image, an environment or a set of wheels will load, and run on which GPU.

Stands alone: the standard library only, nothing of the rest of blackstack, no GPU, and nothing is started. ::

    from blackstack.audit import audit, of_site
    report = audit(of_site(Path("/opt/venv/lib/python3.12/site-packages")))

In the order of the question::

    target    what to look at            (wheels, image: how to get it)
    dists     what is installed          pins      what it demands
    elf       what a file says           process   what the dynamic linker would do    torch   what torch
    does first abi       which torch it is bound to symbols   which torch exports what
    fatbin    which GPU code it has      arch      what runs where                     coverage  the two
    together examine   all of it, once            findings  what is wrong and how to mend it    report,
    sarif, cli
"""

from blackstack.audit.cli import audit, main
from blackstack.audit.evidence import Question
from blackstack.audit.model import Finding, Report
from blackstack.audit.target import Target, of_python, of_root, of_site

__all__ = ["Finding", "Question", "Report", "Target", "audit", "main", "of_python", "of_root", "of_site"]
