import ipaddress


def network_of(address: str) -> str:
    """Return the IPv4 address, or the first 64 bits of the IPv6 address, which one client may use as it likes.

    Empty for a text that is no address.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(found), 64), strict=False))
        found = found.ipv4_mapped
    return str(found)
