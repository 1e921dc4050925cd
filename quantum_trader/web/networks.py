import ipaddress


def network_of(address: str) -> str:
    """Return the IPv4 address, or the first 64 bits of the IPv6 address; empty for a text that is no address.

    One client may use every IPv6 address with the same first 64 bits.
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
