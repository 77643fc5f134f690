"""The only layer that knows containers: tables in memory and on Dask."""

from dsmote.execute.generate import check_free as check_free
from dsmote.execute.partition import Counted as Counted
from dsmote.execute.partition import PartCount as PartCount
from dsmote.execute.read import Table as Table
from dsmote.execute.read import read_frame as read_frame
from dsmote.execute.read import read_pair as read_pair
from dsmote.execute.recipe import Bases as Bases
from dsmote.execute.recipe import ClassContext as ClassContext
from dsmote.execute.recipe import ClassIndex as ClassIndex
from dsmote.execute.recipe import Draws as Draws
from dsmote.execute.recipe import Ends as Ends
from dsmote.execute.recipe import Made as Made
from dsmote.execute.recipe import Making as Making
from dsmote.execute.recipe import NearestOfAll as NearestOfAll
from dsmote.execute.recipe import Recipe as Recipe
from dsmote.execute.recipe import Rows as Rows
from dsmote.execute.recipe import SearchSpace as SearchSpace
from dsmote.execute.recipe import Spread as Spread
from dsmote.execute.recipe import Task as Task
from dsmote.execute.recipe import displaced as displaced
from dsmote.execute.recipe import on_segments as on_segments
from dsmote.execute.recipe import other_classes as other_classes
from dsmote.execute.recipe import toward_others as toward_others
from dsmote.execute.recipe import vote_on as vote_on
from dsmote.execute.tables import take as take
