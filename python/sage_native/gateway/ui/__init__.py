"""The description of the API as a page: Swagger UI, vendored, from files of this package alone.

The page needs no other host and no script inside its markup, so that its content security policy
can forbid both.
"""

from sage_native.gateway.ui.assets import ASSET_NAMES, Asset, asset, description, page

__all__ = ["ASSET_NAMES", "Asset", "asset", "description", "page"]
